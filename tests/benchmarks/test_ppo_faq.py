"""The study of PPO on a FAQ: its rows, its models, what it compares, and how it is run."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from xml.etree import ElementTree

import pytest
from scipy import stats

from benchmarks.ppo_faq import curve, relevance, rows
from benchmarks.ppo_faq.__main__ import main
from benchmarks.ppo_faq.blank import write_blank
from benchmarks.ppo_faq.compare import PAIRS, Comparison, claims, compare, copied, distinct
from benchmarks.ppo_faq.settings import SIZES, Settings, Shape, load, save, settings, training
from benchmarks.ppo_faq.study import REWARD, Study
from benchmarks.ppo_faq.tables import tables, tables_over_seeds
from harness import Evaluation, HarnessError, Sample, TrainingStep, evaluate, load_samples
from harness.data.split import normalised
from harness.training.plan import named_trainer

ROOT = Path(__file__).parents[2]
TINY = Shape(vocabulary=300, layers=1, width=8, heads=2, context=64)
TEMPLATE = "question: {prompt}\nanswer:"
CONTROLS = ("[good]", "[bad]")


def table(file: Path, pairs: Sequence[tuple[str, str]]) -> str:
    lines = ["question,answer", *(f"{question},{answer}" for question, answer in pairs)]
    file.write_text("\n".join(lines))
    return str(file)


def numbered(count: int, first: int = 0) -> list[tuple[str, str]]:
    return [(f"what is {i}?", f"it is {i}") for i in range(first, first + count)]


class TestRows:
    def test_no_question_or_answer_of_training_is_held_out(self, tmp_path: Path) -> None:
        train = table(tmp_path / "train.csv", numbered(5))
        leaks = [("What  is 1?", "no"), ("new?", "IT is 2"), ("what is 3?", "it is 3")]
        test = table(tmp_path / "test.csv", [*leaks, *numbered(4, first=10)])

        found = rows.table_rows(train, test, "question", "answer")

        assert [sample.id for sample in found.test] == ["4", "5", "6", "7"]
        assert (len(found.train), found.left_out) == (5, 3)
        assert "5 rows to train on, 4 held out (3 more left out" in str(found)

    def test_of_one_table_a_fifth_is_held_out_and_questions_stay_together(
        self, tmp_path: Path
    ) -> None:
        pairs = [(f"q{i % 100}", f"answer {i}") for i in range(200)]
        found = rows.table_rows(table(tmp_path / "faq.csv", pairs), None, "question", "answer")

        assert len(found.train) + len(found.test) == 200
        assert 15 <= len(found.test) <= 65
        assert not {s.prompt for s in found.train} & {s.prompt for s in found.test}

    def test_of_the_standard_library_nothing_is_on_both_sides(self) -> None:
        found = rows.stdlib_rows()

        for texts in (lambda s: [s.prompt], lambda s: s.references):
            train, test = (
                {normalised(text) for sample in side for text in texts(sample)}
                for side in (found.train, found.test)
            )
            assert not train & test
        assert len(found.test) > 300
        assert all(sample.metadata["module"] for sample in found.test)

    def test_rows_are_written_once_and_alike(self, tmp_path: Path) -> None:
        train = table(tmp_path / "train.csv", [*numbered(30), ("why?", '"so, ""really"""')])
        found = rows.table_rows(train, None, "question", "answer")
        for name in ("one", "two"):
            rows.write(found, tmp_path / name)
        rows.write(found, tmp_path / "one")

        files = (rows.TRAIN, rows.TEST, rows.CARD)
        one, two = ([(tmp_path / n / file).read_bytes() for file in files] for n in ("one", "two"))
        assert one == two
        samples, cluster = rows.held_out(tmp_path / "one")
        assert (tuple(samples), cluster) == (found.test, None)

    def test_other_rows_do_not_go_into_the_same_folder(self, tmp_path: Path) -> None:
        for count in (8, 9):
            file = table(tmp_path / f"{count}.csv", numbered(count))
            found = rows.table_rows(file, None, "question", "answer")
            if count == 8:
                rows.write(found, tmp_path / "out")
        with pytest.raises(HarnessError, match="holds a study of other rows; choose another --out"):
            rows.write(found, tmp_path / "out")


class TestRelevance:
    def test_pairs_are_of_training_rows_and_each_question_is_on_one_side(
        self, tmp_path: Path
    ) -> None:
        train = table(tmp_path / "train.csv", numbered(60))
        rows.write(rows.table_rows(train, None, "question", "answer"), tmp_path)
        relevance.write_pairs(tmp_path)

        sides = {
            name: load_samples(file, prompt="text", references="label", id="id")
            for name, file in relevance.files(tmp_path).items()
        }
        asked = {name: {s.prompt.splitlines()[0] for s in side} for name, side in sides.items()}
        held_out = {f"question: {sample.prompt}" for sample in rows.held_out(tmp_path)[0]}
        assert asked["test"]
        assert not asked["train"] & asked["test"]
        assert not held_out & (asked["train"] | asked["test"])
        for sample in (*sides["train"], *sides["test"]):
            question, answer = sample.prompt.removesuffix("?").splitlines()
            own = question.split()[-1].rstrip("?") == answer.split()[-1]
            assert sample.references == (("own",) if own else ("other",))


class TestBlank:
    KNOWN = tuple(Sample(str(i), f"apples {i}", (f"they are apples {i}",)) for i in range(30))

    def blank(self, folder: Path, seed: int = 0, known: Sequence[Sample] = KNOWN) -> Path:
        write_blank(folder, TINY, known, TEMPLATE, CONTROLS, seed)
        return folder

    def test_the_seed_decides_the_weights_and_the_rows_the_tokens(self, tmp_path: Path) -> None:
        one, again = self.blank(tmp_path / "a"), self.blank(tmp_path / "b")
        other = self.blank(tmp_path / "c", seed=1)
        weights, words = "model.safetensors", "tokenizer.json"

        assert (one / weights).read_bytes() == (again / weights).read_bytes()
        assert (one / weights).read_bytes() != (other / weights).read_bytes()
        assert (one / words).read_bytes() == (again / words).read_bytes()
        assert (one / words).read_bytes() == (other / words).read_bytes()

    def test_controls_are_one_token_and_any_text_can_be_written(self, tmp_path: Path) -> None:
        from transformers import AutoTokenizer

        words = AutoTokenizer.from_pretrained(self.blank(tmp_path / "a"))

        assert [len(words(control)["input_ids"]) for control in CONTROLS] == [1, 1]
        assert (words.eos_token, words.pad_token) == ("<|endoftext|>", "<|pad|>")
        assert words.eos_token_id != words.pad_token_id
        text = "[good]question: ¿Qué? \n 漢字 🎈"
        assert words.decode(words(text)["input_ids"]) == text
        learnt, unseen = (len(words(text)["input_ids"]) for text in (" apples", " quinces"))
        assert learnt < unseen

    def test_it_is_kept_and_another_is_refused(self, tmp_path: Path) -> None:
        folder = self.blank(tmp_path / "a")
        before = (folder / "model.safetensors").stat().st_mtime_ns
        self.blank(folder)
        assert (folder / "model.safetensors").stat().st_mtime_ns == before
        with pytest.raises(HarnessError, match="other rows or settings"):
            self.blank(folder, seed=1)


class TestSettings:
    def study(self, out: Path, chosen: Settings, seed: int = 0) -> Study:
        """One with rows whose answers have three words."""
        known = tuple(Sample(str(i), f"what is {i}?", (f"it is {i}",)) for i in range(9))
        rows.write(rows.Rows("made up", known[:6], known[6:], 0), out)
        return Study(out, seed, chosen)

    @pytest.mark.parametrize("size", SIZES)
    def test_every_size_can_be_trained(self, size: str, tmp_path: Path) -> None:
        study = self.study(tmp_path, settings(size), seed=3)
        for config, folder in ((study.warm_start(), "sft"), (study.ppo(), "ppo")):
            assert named_trainer(config.trainer).label == folder
            assert config.output == tmp_path / "seed-3" / folder
            assert config.seed == 3

    def test_the_files_name_the_default_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """So that `harness train benchmarks/ppo_faq/sft.toml` does what the study does."""
        monkeypatch.chdir(tmp_path)
        study = self.study(Path("runs/ppo_faq"), settings("full"))
        assert training("sft.toml", ()) == study.warm_start()
        written, used = training("ppo.toml", ()), study.ppo()
        assert (written.trainer, written.data) == (used.trainer, used.data)
        assert written.output == used.output

    def test_the_length_wanted_is_that_of_the_training_answers(self, tmp_path: Path) -> None:
        study = self.study(tmp_path, settings("full"))
        (length,) = (s for s, _ in study.ppo().scorers if s.label == "length")
        assert length.settings["target"] == "3"

    def test_what_was_trained_on_is_what_evaluates(self, tmp_path: Path) -> None:
        study = self.study(tmp_path, settings("full"))
        trained = {s.label: s for s, _ in study.ppo().scorers}
        asked = {s.label: s for s in study.scorers()}

        assert {label: asked[label] for label in trained} == trained
        inner = trained[REWARD].settings["of"]
        assert str(asked["bertscore"]) == inner
        assert asked["specific"].settings["of"] == inner

    def test_changes_reach_their_part(self, tmp_path: Path) -> None:
        changes = ["ppo.trainer.steps=7", "sft.seed=5", "model.layers=1", "evaluation.rows=9"]
        chosen = settings("demo", changes)
        study = self.study(tmp_path, chosen)

        assert study.ppo().trainer.settings["steps"] == "7"
        assert study.warm_start().seed == 5
        assert (chosen.shape.layers, chosen.asking.rows) == (1, 9)

    def test_they_are_kept_with_the_study(self, tmp_path: Path) -> None:
        chosen = settings("demo", ["ppo.trainer.steps=7"])
        save(chosen, tmp_path)
        assert load(tmp_path) == chosen
        with pytest.raises(HarnessError, match="cannot be read"):
            load(tmp_path / "nowhere")


ANSWERS = {
    "reference": ["red and blue", "a cat", "no", "one, two"],
    "good": ["red and green", "a dog barks", "no", "one, two, three"],
    "bad": ["red", "", "yes it is", "none, or two"],
}
TRUTH = ["red and green", "a dog", "no", "one two three"]


@pytest.fixture(scope="module")
def evaluations() -> dict[str, Evaluation]:
    samples = [
        Sample(str(i), f"what is red {i}?", (truth,), {m: told[i] for m, told in ANSWERS.items()})
        for i, truth in enumerate(TRUTH)
    ]
    scorers = ["bertscore=match:mode=f1", "specific=match:mode=contains", "length"]
    return {
        model: evaluate(
            samples,
            generator=f"{model}=recorded:field={model}",
            scorers=scorers,
            repeats=2,
            store="sqlite://",
            max_unscored=1,
        )
        for model in ANSWERS
    }


class TestComparison:
    def test_differences_are_paired_over_samples(
        self, evaluations: Mapping[str, Evaluation]
    ) -> None:
        found = compare(evaluations)
        f1 = {m: e.table().groupby("id").bertscore.mean() for m, e in evaluations.items()}

        assert (found.rows, found.attempts, found.clusters) == (4, 2, None)
        for name, (one, other) in PAIRS.items():
            difference = found.differences["bertscore"][name]
            shared = f1[one].dropna().index.intersection(f1[other].dropna().index)
            expected = stats.ttest_rel(f1[one][shared], f1[other][shared])
            assert difference.p == pytest.approx(expected.pvalue, rel=1e-9)
            assert difference.n == len(shared)
        for model in ANSWERS:
            assert found.means["bertscore"][model] == pytest.approx(f1[model].mean())

    def test_forms_are_those_of_the_texts(self, evaluations: Mapping[str, Evaluation]) -> None:
        found = compare(evaluations)

        words = [len(text.replace(",", "").split()) for text in ANSWERS["good"]]
        assert found.means["words"]["good"] == fmean(words)
        assert found.means["commas"] == {"reference": 0.25, "good": 0.5, "bad": 0.25}
        assert found.means["ended"]["bad"] == 1.0
        assert found.ratio("commas", "good") == 2.0
        assert found.examples[1]["good"] == "a dog barks"

    def test_rows_of_one_group_are_a_cluster(self) -> None:
        samples = [
            Sample(str(i), "?", ("yes",), {"group": f"g{i // 3}", "said": "yes" * (i % 2)})
            for i in range(12)
        ]
        asked = {
            model: evaluate(
                samples,
                generator="recorded:field=said",
                scorers=["match"],
                cluster="group",
                store="sqlite://",
                max_unscored=1,
            )
            for model in ANSWERS
        }
        found = compare(asked)
        assert found.clusters == 4
        assert found.differences["match"]["good - bad"].clusters == 4

    def test_distinct_and_copied(self) -> None:
        assert distinct(["a b a", "A c"], 1) == pytest.approx(3 / 5)
        assert distinct(["a b a b", "a b"], 2) == pytest.approx(2 / 4)
        assert distinct(["", "a"], 2) == 0.0
        assert copied("What is `os.path`?", "The path is it.") == pytest.approx(2 / 4)

    def test_claims_are_about_direction_and_certainty(
        self, evaluations: Mapping[str, Evaluation]
    ) -> None:
        assert any(line.startswith("bertscore: good - reference") for line in claims(sure(0.0)))
        assert claims(sure(0.3)) == []
        (line,) = claims(sure(0.3, words=25.0))
        assert line == "words: reference 40.0, good 25.0, bad 44.0"
        assert claims(sure(0.3, words=25.0), full=False) == []
        assert len(claims(sure(-0.3))) == 4
        assert [line.partition(" is ")[0] for line in claims(sure(-0.3), full=False)] == [
            "bertscore: good - bad"
        ]


def sure(step: float, words: float = 38.0) -> Comparison:
    """Made-up answers to 30 questions, each model a step above the next."""
    from harness.stats import paired

    noise = [sign * math.sin(i) / 10 for i in range(15) for sign in (1, -1)]
    levels = {"reference": 0.0, "good": step, "bad": -step}
    values = {
        model: [level + n * (1 + k) for n in noise]
        for k, (model, level) in enumerate(levels.items())
    }
    differences = {name: paired(values[a], values[b]) for name, (a, b) in PAIRS.items()}
    labels = ("bertscore", "specific", "layer6", "f1_specific", "a scorer with a long name")
    means = {label: {model: fmean(found) for model, found in values.items()} for label in labels}
    means["words"] = {"reference": 40.0, "good": words, "bad": 44.0}
    return Comparison(30, 1, None, means, dict.fromkeys(labels, differences), 0)


class TestTelling:
    def test_tables_fit_and_say_what_is_there(self) -> None:
        text = tables(sure(0.3))

        assert max(map(len, text.splitlines())) <= 100
        lines = {line.split("  ")[0].strip(): line for line in text.splitlines()}
        assert lines["words"].split() == ["words", "40.0", "38.0", "44.0", "0.95", "1.10"]
        assert "+0.3" in lines["BERTScore, layer 6"]
        assert "±" in lines["BERTScore, layer 6"]

    def test_over_seeds_the_worst_p_is_told(self) -> None:
        comparisons = {0: sure(0.3), 1: sure(0.2), 2: sure(0.004)}
        text = tables_over_seeds(comparisons)

        assert max(map(len, text.splitlines())) <= 100
        assert "+0.168 0.004…0.300" in text
        worst = max(c.differences["bertscore"]["good - bad"].p or 0 for c in comparisons.values())
        line = next(line for line in text.splitlines() if line.startswith("BERTScore "))
        assert f"p={worst:.2f}" in line

    def test_the_curve_has_both_lines(self, tmp_path: Path) -> None:
        steps = [
            TrainingStep(i, 9, {f"score/{REWARD}": i, f"score_bad/{REWARD}": -i, "kl": i / 9})
            for i in range(1, 10)
        ]
        for name in ("a.svg", "b.svg"):
            curve.draw({0: steps, 1: steps[:4]}, tmp_path / name)

        drawn = ElementTree.parse(tmp_path / "a.svg").getroot()
        told = {element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")}
        assert {"[good]", "[bad]", "step of PPO", "KL, nats an answer"} <= told
        assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()

    def test_a_smooth_curve_keeps_a_straight_line(self) -> None:
        assert curve.smooth([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])[2:4] == [3.0, 4.0]
        assert curve.smooth([4.0]) == [4.0]
        assert curve.smooth([]) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--train", "{train}", "--test", "{train}"], "no row that is not in"),
        (["--train", "{train}", "--answer", "anser"], "did you mean 'answer'?"),
        (["--train", "{train}", "--test", "{empty}"], "empty.csv has a header but no rows"),
        (["--train", "nothing.csv"], "there is no file nothing.csv"),
        (["--test", "{train}"], "--test is given without --train"),
        (["--train", "{train}", "--set", "trainer.steps=3"], "write sft.KEY=VALUE"),
        (["--train", "{train}", "--set", "model.width=30"], "must be a multiple of heads"),
        (["--train", "{train}", "--set", "model.depth=3"], "depth"),
        (["--train", "{train}", "--set", "ppo.trainer.step=3"], "step"),
        (["--train", "{train}", "--set", "evaluation.attempts=0"], "attempts is 0"),
    ],
)
def test_wrong_input_is_one_line(
    arguments: Sequence[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = {"train": table(tmp_path / "train.csv", numbered(20))}
    files["empty"] = table(tmp_path / "empty.csv", [])
    given = [argument.format(**files) for argument in arguments]

    assert main([*given, "--out", str(tmp_path / "out")]) == 2

    told = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert len(told) == 1
    assert message in told[0]


@pytest.mark.slow
def test_a_study_goes_on_after_ctrl_c_and_is_read_back(minilm: str, tmp_path: Path) -> None:
    """From rows to tables, interrupted amid PPO; then as a benchmark of the suite."""
    train = table(tmp_path / "train.csv", numbered(40))
    out = tmp_path / "out"
    model = ("layers=1", "width=16", "heads=2", "vocabulary=300", "context=64")
    ppo = ("steps=4", "batch_size=4", "minibatch_size=4", "max_new_tokens=6", "epochs=1")
    changes = [
        *(f"model.{change}" for change in model),
        *(f"ppo.trainer.{change}" for change in ppo),
        "sft.trainer.steps=4",
        *(f"classifier.trainer.{change}" for change in ("model=new", "width=8", "heads=2")),
        "evaluation.attempts=1",
    ]
    command = [sys.executable, "-m", "benchmarks.ppo_faq", "--train", train, "--out", str(out)]
    command += [f"--set={change}" for change in changes]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    ) as first:
        assert first.stderr is not None
        for line in first.stderr:
            if line.startswith("ppo  1/4"):
                first.send_signal(signal.SIGINT)
                break
        assert "the same command goes on from it" in first.stderr.read()
    assert first.returncode == 130
    assert not (out / "results.json").exists()

    done, again = (
        subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        for _ in range(2)
    )
    assert done.returncode == 0, done.stderr
    assert again.stdout == done.stdout
    assert "ppo  4/4" not in again.stderr
    told = json.loads((out / "results.json").read_text())
    assert told["same_scorer"]
    assert told["seeds"]["0"]["rows"] == told["rows"]["test"]["n"]
    assert 0 < told["seeds"]["0"]["means"]["relevance"]["good"] < 1
    assert "BERTScore" in (out / "results.md").read_text()
    assert "[good]" in (out / "curve.svg").read_text()
    assert str(out / "seed-0" / "report.html") in done.stdout
    report = (out / "seed-0" / "report.html").read_text()
    assert all(f"ppo_faq seed 0 {model}" in report for model in ("reference", "good", "bad"))
    suite(out, environment, told)


def suite(
    out: Path, environment: Mapping[str, str], told: Mapping[str, Mapping[str, object]]
) -> None:
    """The benchmark passes or misses its threshold as the results say."""
    command = [sys.executable, "-m", "harness", "run", "benchmarks/ppo_faq", "--ppo-faq", str(out)]
    command += ["--store", str(out / "store.db")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    seed = told["seeds"]["0"]
    assert isinstance(seed, dict)
    assert done.returncode == (10 if seed["missed"] else 0), done.stdout


def test_without_a_trained_model_the_suite_says_how_to_train_one(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "harness", "run", "benchmarks/ppo_faq"]
    environment = {**os.environ, "SAMESCORE_PPO_FAQ": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert f"python -m benchmarks.ppo_faq --out {tmp_path}" in done.stdout.replace("\n", "")
