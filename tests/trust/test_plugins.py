"""A plugin that misbehaves

A third party's scorer or generator does what it must not, at some samples or at all. Beside it
works a scorer that behaves: it must see what was asked, and the store must have its scores, once.
"""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from subprocess import PIPE

import pytest

from harness.components import Score
from harness.store import Store
from harness.store.schema import ScoredRow
from tests.trust.acme_bad import BAD
from tests.trust.lives import COMMAND, Life, Lives
from tests.trust.trial import Trial

COUNT = 100
EVALUATE = """
import sys
import harness.store.database as database
from harness import Sample, evaluate
told = [{"answer": "yes", "tags": ["a"]} for _ in range(100)]
rows = [Sample(str(i), f"question {i}", ("yes",), told[i]) for i in range(100)]
database._PATIENCE_S = 1.0
generator, *scorers = sys.argv[1:]
found = evaluate(rows, generator=generator, scorers=scorers, store="s.db", max_unscored=1)
print("mean", found["match"].mean)
"""
ANSWERS = "recorded:field=answer"


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lives]:
    """A folder with the plugin, as pip would install it."""
    folder = tmp_path_factory.mktemp("acme")
    (folder / "acme_bad.py").write_text(Path(__file__).with_name("acme_bad.py").read_text())
    info = folder / "acme_bad-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-bad\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[samescore]\nacme = acme_bad\n")
    with Lives(folder, imports="import harness.engine, pandas, sqlalchemy.dialects.sqlite") as some:
        yield some


def evaluated(lives: Lives, *parts: str) -> Life:
    """An evaluation by a generator and scorers, with a new store."""
    for file in lives.folder.glob("s.db*"):
        file.unlink()
    return lives.live(EVALUATE, *parts, seconds=60)


def scored(life: Life, folder: Path) -> list[ScoredRow]:
    """The rows of a run that went well, as they were asked."""
    assert life.code == 0, life.err[-3000:]
    assert life.out.endswith("mean 1.0\n"), life.out
    with closing(sqlite3.connect(folder / "s.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with Store(folder / "s.db", readonly=True) as store:
        (run,) = store.runs()
        assert run.status == "finished"
        rows = list(store.rows(run))
    assert [row.completion.sample.id for row in rows] == [str(i) for i in range(COUNT)]
    for i, row in enumerate(rows):
        sample = row.completion.sample
        assert (sample.prompt, sample.references) == (f"question {i}", ("yes",))
        assert sample.metadata == {"answer": "yes", "tags": ["a"]}
    return rows


def of(rows: list[ScoredRow], name: str) -> dict[str, Score]:
    """A scorer's scores by the id of their sample."""
    return {
        row.completion.sample.id: next(s for label, s in row.scores.items() if name in label)
        for row in rows
    }


WRONG = [
    *("ValueError", "SystemExit", "StopIteration", "GeneratorExit", "MemoryError", "surrogate"),
    *(
        "unprintable",
        "too-few",
        "too-many",
        "nothing",
        "a-text",
        "a-mapping",
        "lazily",
        "endlessly",
    ),
    *("its-input", "recurses", "value-None", "value-a-number", "value-text"),
]
WRONG_SCORES = [
    *("value-nan", "value-inf", "value-minus-inf", "value-huge", "value-value-text", "value-array"),
    "value-complex",
]


def test_scorer_goes_wrong(trial: Trial, lives: Lives) -> None:
    """Two of a hundred samples have no score and a cause; nobody else notices."""
    trial("a scorer that raises, or gives what is no score, at two samples of 100")
    for how in trial.some([*WRONG, *WRONG_SCORES]):
        rows = scored(evaluated(lives, ANSWERS, f"acme-bad:how={how}", "match"), lives.folder)
        found = of(rows, "acme")
        assert {found[bad].value for bad in BAD} == {None}
        assert all(found[bad].unscored and found[bad].reason for bad in BAD)
        assert {score.value for sample, score in found.items() if sample not in BAD} == {1.0}
        assert {score.value for score in of(rows, "match").values()} == {1.0}
        trial.saw("scores", 2 * COUNT)


def test_generator_goes_wrong(trial: Trial, lives: Lives) -> None:
    """Two of a hundred answers are failed ones, with the error."""
    trial("a generator that raises, or gives what is no answer, at two samples of 100")
    for how in trial.some(WRONG):
        rows = scored(evaluated(lives, f"acme-answers:how={how}", "match"), lives.folder)
        answers = {row.completion.sample.id: row.completion for row in rows}
        assert {sample for sample, a in answers.items() if a.finish == "error"} == BAD
        assert all(answers[bad].error for bad in BAD)
        trial.saw("answers", COUNT)


HARMLESS = [
    *("changes-its-list", "changes-metadata", "changes-fields", "an-array", "a-tuple"),
    *("leaves-threads", "changes-seeds", "changes-environment", "changes-json", "changes-folder"),
    *("leaks", "prints"),
]
NUMBERS = ["value-numpy", "value-int", "value-bool"]


def test_scorer_meddles(trial: Trial, lives: Lives) -> None:
    """Its scores count all the same, and nobody else is given what it changed."""
    trial("a scorer that changes its input, the folder, the environment, seeds or `json`, prints …")
    for how in trial.some([*HARMLESS, *NUMBERS]):
        rows = scored(evaluated(lives, ANSWERS, f"acme-bad:how={how}", "match"), lives.folder)
        assert {score.value for row in rows for score in row.scores.values()} == {1.0}
        trial.saw("scores", 2 * COUNT)


def test_generator_meddles(trial: Trial, lives: Lives) -> None:
    """The same of a generator, which works in the main thread."""
    trial("a generator that changes its input, the folder, the environment, seeds or `json` …")
    for how in trial.some(HARMLESS):
        rows = scored(evaluated(lives, f"acme-answers:how={how}", "match"), lives.folder)
        assert {row.completion.text for row in rows} == {"yes"}
        trial.saw("answers", COUNT)


def with_role(role: str, how: str) -> list[str]:
    """What runs where a scorer or a generator goes wrong."""
    bad = f"{role}:how={how}"
    return [ANSWERS, bad, "match"] if role == "acme-bad" else [bad, "match"]


def both(*ways: str) -> list[tuple[str, str]]:
    """Each way of a scorer and of a generator."""
    return [(role, how) for role in ("acme-bad", "acme-answers") for how in ways]


def test_forks(trial: Trial, lives: Lives) -> None:
    """The child that comes back into our code is ended: it prints nothing and writes nothing."""
    trial("a plugin that forks, and whose child comes back into our code, or raises there")
    for role, how in trial.some(both("forks", "forks-and-ends")):
        life = evaluated(lives, *with_role(role, how))
        rows = scored(life, lives.folder)
        assert life.out == "mean 1.0\n", "once"
        assert {score.value for row in rows for score in row.scores.values()} == {1.0}
        trial.saw("rows", len(rows))


def test_ends_the_process(trial: Trial, lives: Lives) -> None:
    """What was recorded stays, and with a plugin that is mended the run goes on from there."""
    trial("a plugin that ends the process, or crashes it")
    for role, how in trial.some(both("exits", "crashes"), few=2):
        assert evaluated(lives, *with_role(role, how)).code not in (0, -9)
        with Store(lives.folder / "s.db") as store:
            assert {run.status for run in store.runs()} <= {"interrupted"}
            before = [repr(row.completion) for run in store.runs() for row in store.rows(run)]
        with closing(sqlite3.connect(lives.folder / "s.db")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        again = lives.live(EVALUATE, ANSWERS, "match")
        assert again.code == 0, again.err
        with Store(lives.folder / "s.db") as store:
            after = [repr(row.completion) for run in store.runs() for row in store.rows(run)]
        trial.kept("recorded answers", before, after)


def test_ends_the_run(trial: Trial, lives: Lives) -> None:
    """What says that it must not be caught ends the run, which is then marked as interrupted."""
    trial("a plugin that raises KeyboardInterrupt, or a BaseException of its own")
    for role, how in trial.some(both("KeyboardInterrupt", "BaseException"), few=2):
        life = evaluated(lives, *with_role(role, how))
        assert life.code == 1, life.out
        assert "acme_bad.py" in life.err, "says where"
        with Store(lives.folder / "s.db") as store:
            (run,) = store.runs()
            assert run.status == "interrupted"
            trial.saw("recorded answers", len(list(store.rows(run))))


def test_hangs(trial: Trial, lives: Lives) -> None:
    """One Ctrl-C ends it and says who hangs; what others scored is kept."""
    trial("a plugin that hangs, and one Ctrl-C")
    for role, how in trial.some(both("hangs"), few=1):
        for file in lives.folder.glob("s.db*"):
            file.unlink()
        command = [sys.executable, "-c", EVALUATE, *with_role(role, how)]
        with subprocess.Popen(command, cwd=lives.folder, stderr=PIPE, text=True) as process:
            assert process.stderr
            assert process.stderr.readline() == "acme: hangs\n"
            process.send_signal(signal.SIGINT)
            try:
                _, said = process.communicate(timeout=20)
            finally:
                process.kill()
        assert "KeyboardInterrupt" in said
        busy = "acme-bad:how=hangs is still busy with 100 completions; nobody waits for it"
        assert busy in said or role == "acme-answers"
        with Store(lives.folder / "s.db") as store:
            (run,) = store.runs()
            assert run.status == "interrupted"
            found = list(store.rows(run))
        assert len(found) == (COUNT if role == "acme-bad" else 0)
        trial.saw("recorded answers", len(found))


def test_json_and_files_of_commands(trial: Trial, lives: Lives) -> None:
    """What a plugin prints goes to standard error, and files go where the user is."""
    trial("`--json` and `-o FILE` of `score` and `run` with a plugin that prints or changes folder")
    for how in trial.some(["prints", "changes-folder"], few=1):
        _score_and_run(trial, lives, how)


def _score_and_run(trial: Trial, lives: Lives, how: str) -> None:
    folder = lives.folder
    (folder / "a.csv").write_text("a,r\n" + "".join(f"{i},{i}\n" for i in range(40)))
    command = ("score", "a.csv", "--scorer", f"acme-bad:how={how}", "--completion", "a")
    life = lives.live(COMMAND, *command, "--reference", "r", "--json", "--store", "s.db")
    assert life.code == 0, life.err
    assert json.loads(life.out)
    life = lives.live(COMMAND, *command, "--reference", "r", "-o", "out.csv", "--store", "s2.db")
    assert life.code == 0, life.err
    assert (folder / "out.csv").exists()
    (folder / "out.csv").unlink()
    (folder / "bench_it.py").write_text(
        "from harness import Sample\n"
        "def bench_it(evaluate):\n"
        "    rows = [Sample(str(i), str(i), ('x',), {'answer': 'x'}) for i in range(40)]\n"
        f"    evaluate(rows, generator={ANSWERS!r}, scorers=['acme-bad:how={how}'])\n"
    )
    options = ("bench_it.py", "-p", "no:cacheprovider", "--store", "s.db", "--json")
    life = lives.live(COMMAND, "run", *options, "--report-json", "r.json")
    assert life.code == 0, life.err
    assert json.loads(life.out) == json.loads((folder / "r.json").read_text())
    (folder / "r.json").unlink()
    trial.saw("JSON documents", 2)
    trial.saw("files", 2)
