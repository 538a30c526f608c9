"""Metrics of evaluate as scorers and scorers as metrics, with real modules that the tests write."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

import harness_evaluate
from harness import Completion, HarnessError, PluginError, Rewarder, Sample, Score, Unscored, scorer
from harness_evaluate import EvaluateSettings, export_evaluate_module, from_evaluate, to_evaluate

SKELETON = """
import datasets
import evaluate

TEXT = datasets.Value("string")
NUMBER = datasets.Value("float32")
LABEL = datasets.Value("int32")


class {name}(evaluate.Metric):
    def _info(self):
        columns = {columns}
        return evaluate.MetricInfo(description="", citation="", features=columns)

    def _compute(self, {arguments}):
{body}
"""
TEXTS = 'datasets.Features({"predictions": TEXT, "references": TEXT})'
NUMBERS = 'datasets.Features({"predictions": NUMBER, "references": NUMBER})'
LABELS = 'datasets.Features({"predictions": LABEL, "references": LABEL})'
LISTS = 'datasets.Features({"predictions": TEXT, "references": datasets.Sequence(TEXT)})'
EXACT = "return {'exact': sum(p == r for p, r in zip(predictions, references)) / len(predictions)}"
WORDS = """
shared = sum(len(set(p.split()) & set(r.split())) for p, r in zip(predictions, references))
return {'recall': shared / sum(len(r.split()) for r in references)}
"""
LENGTHS = """
ratios = [len(p) / len(r) for p, r in zip(predictions, references)]
return {'ratio': ratios, 'half': [r / 2 for r in ratios], 'total': sum(ratios), 'name': 'lengths'}
"""


@pytest.fixture(scope="module", autouse=True)
def _own_caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's caches clean; evaluate reads its settings once, when it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_EVALUATE_OFFLINE", "1")
        import evaluate

        folder = tmp_path_factory.mktemp("hf")
        patch.setattr(evaluate.config, "HF_MODULES_CACHE", str(folder / "modules"))
        patch.setattr(evaluate.config, "HF_METRICS_CACHE", str(folder / "metrics"))
        patch.setattr(sys, "path", list(sys.path))
        yield
    for name in [name for name in sys.modules if name.startswith("evaluate_modules")]:
        del sys.modules[name]


class Modules:
    """Writes metric modules."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(
        self, name: str, columns: str, body: str, arguments: str = "predictions, references"
    ) -> str:
        text = SKELETON.format(
            name=name.title(),
            columns=columns,
            arguments=arguments,
            body=textwrap.indent(textwrap.dedent(body).strip(), " " * 8),
        )
        (self.folder / name).mkdir(exist_ok=True)
        (self.folder / name / f"{name}.py").write_text(text)
        return str(self.folder / name)


@pytest.fixture
def modules(tmp_path: Path) -> Modules:
    return Modules(tmp_path)


def build(metric: str, **settings: object) -> Rewarder:
    return harness_evaluate.build(EvaluateSettings(metric, **settings))  # type: ignore[arg-type]


def answers(*pairs: tuple[str, str | tuple[str, ...]]) -> list[Completion]:
    return [
        Completion(Sample(str(i), "", (given,) if isinstance(given, str) else given), text)
        for i, (text, given) in enumerate(pairs)
    ]


def values(scores: Sequence[Score]) -> list[float | None]:
    return [score.value for score in scores]


def directly(path: str, predictions: object, references: object) -> Mapping[str, object]:
    import evaluate

    result: Mapping[str, object] = evaluate.load(path, keep_in_memory=True).compute(
        predictions=predictions, references=references
    )
    return result


def test_a_mean_over_rows_scores_each_row(modules: Modules) -> None:
    path = modules.write("exact", TEXTS, EXACT)

    scores = build(path).score(answers(("yes", "yes"), ("no", "yes"), ("", "")))

    assert values(scores) == [1.0, 0.0, 1.0]
    whole = directly(path, ["yes", "no", ""], ["yes", "yes", ""])
    assert whole["exact"] == pytest.approx(2 / 3)


def test_a_list_in_the_result_is_one_compute_and_equals_evaluate(modules: Modules) -> None:
    path = modules.write("lengths", TEXTS, LENGTHS)

    scores = build(path, key="ratio").score(answers(("ab", "abcd"), ("abc", "ab"), ("", "a")))

    assert values(scores) == directly(path, ["ab", "abc", ""], ["abcd", "ab", "a"])["ratio"]
    assert [score.parts for score in scores] == [{"half": 0.25}, {"half": 0.75}, {"half": 0.0}]


def test_a_value_of_the_set_is_refused_unless_rows_are_asked_for(modules: Modules) -> None:
    path = modules.write("words", TEXTS, WORDS)

    with pytest.raises(HarnessError, match=r"belongs to a set of rows.*per_example=rows"):
        build(path)
    scores = build(path, per_example="rows").score(answers(("a b", "a b c d"), ("x", "x")))

    assert values(scores) == [0.5, 1.0]
    assert directly(path, ["a b", "x"], ["a b c d", "x"])["recall"] == pytest.approx(3 / 5)


def test_a_list_that_does_not_belong_to_rows_is_no_list_of_rows(modules: Modules) -> None:
    path = modules.write("ranks", TEXTS, "return {'rank': list(range(len(predictions)))}")

    with pytest.raises(HarnessError, match="belongs to a set of rows"):
        build(path)
    assert values(build(path, per_example="list").score(answers(("a", "a"), ("b", "b")))) == [0, 1]


def test_a_metric_that_aggregates_by_default_is_asked_not_to(modules: Modules) -> None:
    body = """
    hits = [float(p in r) for p, r in zip(predictions, references)]
    calls.append(len(hits))
    return {'within': max(hits) if use_aggregator else hits}
    """
    path = modules.write("within", TEXTS, body, "predictions, references, use_aggregator=True")
    file = modules.folder / "within" / "within.py"
    file.write_text(file.read_text() + "\ncalls = []\n")
    within = build(path)
    computed = sys.modules[type(within._metric).__module__].calls  # type: ignore[attr-defined]
    computed.clear()

    assert values(within.score(answers(("a", "cat"), ("b", "cat"), ("t", "cat")))) == [1, 0, 1]
    assert computed == [3]


def test_numbers_are_read_and_what_is_none_is_unscored(modules: Modules) -> None:
    body = (
        "return {'mae': sum(abs(p - r) for p, r in zip(predictions, references)) / len(references)}"
    )
    mae = build(modules.write("mae", NUMBERS, body))

    scores = mae.score(
        answers((" 1.5 ", "1"), ("about 2", "2"), ("3", "three"), ("nan", "1"), ("2", ()))
    )

    assert values(scores) == [0.5, None, None, None, None]
    assert [score.unscored for score in scores[1:]] == [
        Unscored.BAD_SCHEMA,
        Unscored.NO_REFERENCE,
        Unscored.BAD_SCHEMA,
        Unscored.NO_REFERENCE,
    ]
    assert "float32" in scores[1].reason
    assert "about 2" in scores[1].reason


def test_labels_must_be_whole_numbers_in_range(modules: Modules) -> None:
    path = modules.write("accuracy", LABELS, EXACT)

    scores = build(path).score(
        answers(("1", "1"), ("1.0", "1"), ("1_0", "10"), ("3000000000", "1"))
    )

    assert values(scores) == [1.0, None, None, None]


def test_a_metric_of_lists_gets_every_reference(modules: Modules) -> None:
    body = "return {'any': sum(p in r for p, r in zip(predictions, references)) / len(predictions)}"
    path = modules.write("any", LISTS, body)

    scores = build(path).score(answers(("b", ("a", "b")), ("c", ("a",)), ("d", ())))

    assert values(scores) == [1.0, 0.0, None]


@pytest.mark.parametrize(("several", "expected"), [("max", 1.0), ("min", 0.25), ("first", 0.5)])
def test_of_several_references_the_setting_says_which(
    modules: Modules, several: str, expected: float
) -> None:
    lengths = modules.write("lengths", TEXTS, LENGTHS)
    rows = answers(("ab", ("abcd", "ab", "abcdefgh")), ("a", "ab"))

    assert values(build(lengths, key="ratio", several=several).score(rows)) == [expected, 0.5]
    with pytest.raises(HarnessError, match=r"3 references.*several=max"):
        build(lengths, key="ratio").score(rows)


def test_the_prompt_and_the_text_alone_fill_other_columns(modules: Modules) -> None:
    columns = 'datasets.Features({"data": TEXT, "sources": TEXT})'
    body = "return {'echo': [float(d == s) for d, s in zip(data, sources)]}"
    echo = build(modules.write("echo", columns, body, "data, sources"))

    said = [Completion(Sample("1", "hello"), text) for text in ("hello", "good morning")]

    assert values(echo.score(said)) == [1.0, 0.0]


def test_arguments_reach_the_metric(modules: Modules) -> None:
    body = "return {'times': [len(p) * factor for p in predictions]}"
    path = modules.write("times", TEXTS, body, "predictions, references, factor")

    times = build(path, kwargs='{"factor": 3}')

    assert values(times.score(answers(("ab", "")))) == [6]
    for wrong, said in [
        ("{", "no JSON"),
        ("[1]", "no JSON object"),
        ('{"references": 1}', "columns"),
    ]:
        with pytest.raises(HarnessError, match=said):
            build(path, kwargs=wrong)
    with pytest.raises(HarnessError, match=r"fails on made-up rows.*factor.*set kwargs"):
        build(path)


def test_a_row_that_the_metric_fails_on_is_unscored_and_leaves_no_trace(modules: Modules) -> None:
    body = "return {'inverse': sum(1 / len(p) for p in predictions) / len(predictions)}"
    inverse = build(modules.write("inverse", TEXTS, body))

    scores = inverse.score(answers(("ab", "x"), ("", "x"), ("abcd", "x")))

    assert values(scores) == [0.5, None, 0.25]
    assert "ZeroDivisionError" in scores[1].reason


def test_a_text_that_arrow_cannot_hold_does_not_spoil_the_next_batch(modules: Modules) -> None:
    lengths = build(modules.write("lengths", TEXTS, LENGTHS), key="ratio")

    with pytest.raises(UnicodeEncodeError):
        lengths.score(answers(("ab", "a"), ("\ud800", "a")))

    assert values(lengths.score(answers(("abc", "a")))) == [3]


def test_a_batch_of_one_bad_row_costs_the_others_nothing(modules: Modules) -> None:
    body = "return {'inverse': [1 / len(p) for p in predictions]}"
    path = modules.write("inverses", TEXTS, body)

    scores = scorer(f"evaluate:metric={path}").score(answers(("ab", "x"), ("", "x"), ("abcd", "x")))

    assert values(scores) == [0.5, None, 0.25]
    assert scores[1].unscored is Unscored.SCORER_ERROR


@pytest.mark.parametrize("value", ["float('nan')", "float('inf')", "None"])
def test_no_number_is_no_score(modules: Modules, value: str) -> None:
    body = f"return {{'odd': [{value} if p == 'odd' else 1.0 for p in predictions]}}"

    scores = build(modules.write("odd", TEXTS, body)).score(answers(("odd", "x"), ("even", "x")))

    assert values(scores) == [None, 1.0]


def test_a_metric_of_several_numbers_wants_a_key(modules: Modules) -> None:
    path = modules.write("lengths", TEXTS, LENGTHS)

    with pytest.raises(HarnessError, match="several numbers: set key to one of ratio, half, total"):
        build(path)
    with pytest.raises(HarnessError, match="no number under 'name'"):
        build(path, key="name")


def test_columns_that_no_completion_has_are_refused(modules: Modules) -> None:
    columns = 'datasets.Features({"predictions": datasets.Image(), "references": TEXT})'

    with pytest.raises(HarnessError, match=r"wants .*Image.*predictions"):
        build(modules.write("images", columns, "return {'x': 1}"))


def test_a_hub_name_needs_permission_and_then_a_hub() -> None:
    with pytest.raises(HarnessError, match="allow_network=true"):
        build("no_such_metric")
    with pytest.raises(HarnessError, match="hub did not answer") as error:
        build("no_such_metric", allow_network=True)
    assert "\n" not in str(error.value)


def test_wrong_modules_are_told_in_one_line(modules: Modules, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(HarnessError, match=r"has no empty\.py"):
        build(str(tmp_path / "empty"))

    path = Path(modules.write("needy", TEXTS, EXACT))
    text = (path / "needy.py").read_text()
    (path / "needy.py").write_text("import a_package_that_is_missing\n" + text)
    with pytest.raises(PluginError, match=r"needy cannot be imported.*a_package_that_is_missing"):
        build(str(path))


def test_the_identity_changes_with_the_code_alone(modules: Modules, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    same = [build(m.write("exact", TEXTS, EXACT)) for m in (modules, Modules(elsewhere))]
    other = build(modules.write("exact", TEXTS, f"{EXACT}  # changed"))
    first, second, third = (s.identity() for s in [*same, other])  # type: ignore[attr-defined]

    assert first == second
    assert first["module"] != third["module"]
    assert {"evaluate", "datasets"} <= first.keys()


def test_a_metric_object_is_a_scorer_too(modules: Modules) -> None:
    import evaluate

    metric = evaluate.load(modules.write("lengths", TEXTS, LENGTHS))
    metric.add(prediction="left over", reference="from before")

    scores = from_evaluate(metric, key="half").score(answers(("ab", "abcd")))

    assert values(scores) == [0.25]


MATCH = "match:mode=contains"
PREDICTIONS = ["It is 42.", "It is 41.", "no idea"]
REFERENCES = [["42"], ["42", "41"], []]


def test_a_scorer_as_a_metric_counts_what_it_could_not_score() -> None:
    metric = to_evaluate(MATCH, "contains")

    result = metric.compute(predictions=PREDICTIONS, references=REFERENCES)

    direct = scorer(MATCH).score(
        [
            Completion(Sample(str(i), "", tuple(given)), text)
            for i, (text, given) in enumerate(zip(PREDICTIONS, REFERENCES, strict=True))
        ]
    )
    assert result["scores"] == values(direct) == [1.0, 1.0, None]
    assert result["contains"] == 1.0
    assert (result["scored"], result["unscored"]) == (2, 1)
    assert result["causes"] == {"no_reference": 1}


def test_nothing_scored_is_no_mean_of_zero() -> None:
    result = to_evaluate(MATCH, "contains").compute(predictions=["a"], references=[[]])

    assert result["contains"] is None


def test_the_ways_to_feed_a_metric_agree() -> None:
    import evaluate

    whole = to_evaluate(MATCH).compute(predictions=PREDICTIONS, references=REFERENCES)
    added = to_evaluate(MATCH)
    added.add(prediction=PREDICTIONS[0], reference=REFERENCES[0])
    added.add_batch(predictions=PREDICTIONS[1:], references=REFERENCES[1:])
    both = evaluate.combine([to_evaluate(MATCH, "one"), to_evaluate("match", "two")])

    assert added.compute() == whole
    combined = both.compute(predictions=["x", "y"], references=["x", "z"])
    assert (combined["one"], combined["two"]) == (0.5, 0.5)
    assert combined["one_scores"] == combined["two_scores"] == [1.0, 0.0]


class Echo:
    """Rewards an answer that repeats its prompt."""

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        return [Score(float(c.text == c.sample.prompt)) for c in completions]


def test_prompts_reach_a_scorer_that_reads_them() -> None:
    metric = to_evaluate(Echo(), "echo")

    result = metric.compute(predictions=["a", "b"], references=["", ""], prompts=["a", "c"])

    assert result["scores"] == [1.0, 0.0]
    with pytest.raises(ValueError, match="1 prompts for 2 predictions"):
        metric.compute(predictions=["a", "b"], references=["", ""], prompts=["a"])


def test_a_scorer_keeps_its_values_through_a_metric_and_back() -> None:
    there = scorer("match:mode=f1")
    back = from_evaluate(to_evaluate(there, "f1"), key="scores")
    rows = answers(("the red cat", "a red dog"), ("", "x"), ("x", ()), ("blue", ("red", "blue")))

    assert values(back.score(rows)) == values(there.score(rows))


def test_an_exported_module_is_loaded_by_evaluate(tmp_path: Path) -> None:
    folder = export_evaluate_module(MATCH, tmp_path, "contains")

    result = directly(str(folder), PREDICTIONS, REFERENCES)

    assert result["contains"] == 1.0
    assert values(build(str(folder), key="contains").score(answers(("a b", "b"), ("a", "b")))) == [
        1.0,
        0.0,
    ]
    with pytest.raises(HarnessError, match="exists"):
        export_evaluate_module(MATCH, tmp_path, "contains")
    with pytest.raises(HarnessError, match="nonsense"):
        export_evaluate_module("nonsense", tmp_path)


def test_rows_stay_in_memory_where_no_other_process_can_take_them(modules: Modules) -> None:
    import evaluate

    body = """
    from pathlib import Path
    files = len(list(Path(self.data_dir).glob('*.arrow')))
    return {'files': [float(files)] * len(predictions)}
    """
    path = modules.write("files", TEXTS, body)
    by_default = evaluate.load(path).compute(predictions=["a"], references=["a"])

    assert by_default["files"] == [1]
    assert values(from_evaluate(evaluate.load(path)).score(answers(("a", "a")))) == [0]
    assert values(build(path).score(answers(("a", "a")))) == [0]


def test_the_plugin_is_found_without_importing_evaluate() -> None:
    code = "import sys, harness_evaluate; print([m in sys.modules for m in ('evaluate', 'numpy')])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert said.stdout.strip() == "[False, False]"
