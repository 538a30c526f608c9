"""`harness train`: a TOML file becomes a recorded training, and what is wrong in it one line."""

from __future__ import annotations

import functools
import itertools
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.errors import HarnessError
from harness.store import Store
from harness.training.config import prepare, read_config

if TYPE_CHECKING:
    from tests.harness.conftest import Launcher

Harness = Callable[..., subprocess.CompletedProcess[str]]

CONFIG = """
output = "runs/toy"
seed = 3

[trainer]
use = "toy"
steps = 4

[scorers.exact]
use = "match"

[scorers.f1]
use = "match"
mode = "f1"
weight = 0.0

[data]
train = "train.csv"
test = "test.csv"
prompt = "question"
reference = "answer"
"""


@pytest.fixture
def harness(here: Path, launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> Harness:
    """`harness` with these arguments, in a folder that has a training's file and the toy plugin."""
    (here / "toy.toml").write_text(CONFIG)
    (here / "train.csv").write_text("question,answer\nWho?,xxxx\nWhat?,yy\nWhen?,zz\n")
    (here / "test.csv").write_text("question,answer\nWhere?,xxxx\nWhy?,no\n")
    (here / "acme_toy.py").write_text(Path(__file__).with_name("toy.py").read_text())
    info = here / "acme_toy-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-toy\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[samescore]\ntoy = acme_toy\n")
    monkeypatch.setenv("PYTHONPATH", str(here))
    return functools.partial(launcher.run, here, "harness")


def succeeded(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_training_is_run_listed_shown_and_evaluated_by_what_is_printed(harness: Harness) -> None:
    done = harness("train", "toy.toml")
    assert done.stderr.splitlines()[0].startswith(
        "toy  1/4  reward 1.0000  kl 0.500  1,234 tokens/s"
    )
    assert done.stderr.splitlines()[1].startswith("toy  4/4  reward 4.0000")
    printed = dict(line.split(maxsplit=1) for line in succeeded(done).splitlines())
    assert printed["model"] == "runs/toy"
    card = json.loads(Path("runs/toy/samescore.json").read_text())
    assert (card["name"], card["seed"], card["scorers"]["f1"]["weight"]) == ("toy", 3, 0.0)
    assert card["held_out"]["n"] == 2

    shown = succeeded(harness(*shlex.split(printed["steps"])[1:]))
    assert f"training {card['training']} · toy · finished" in shown
    assert "settings  steps=4, letter=x, save_every=2" in shown
    assert "scorers   exact (match), weight 1; f1 (match:mode=f1), weight 0" in shown
    assert "rows      3 trained on, 2 held out" in shown
    assert "[1] Who?\n  = xxxx\n  → xxxx\n  exact: 1.0000\n  f1: 1.0000" in shown
    assert succeeded(harness("show", "last")) == shown

    out = succeeded(harness(*shlex.split(printed["evaluate"])[1:]))
    assert [line.split()[1:3] for line in out.splitlines()[1:]] == [
        ["exact", "0.5000"],
        ["f1", "0.5000"],
    ]
    other = ["--generator", "a=toy-model:path=runs/toy", "--generator=b=toy-model:path=runs/toy"]
    table = succeeded(harness("train", "toy.toml", "--evaluate", *other)).splitlines()
    assert [line.split()[0] for line in table[1:]] == ["a", "a", "b", "b"]
    exported = harness("export", card["training"], "-o", "x.csv")
    assert f"{card['training']} is a training: harness show" in exported.stderr
    listed = succeeded(harness("runs")).splitlines()
    assert card["training"] in listed[0]
    assert listed[0].split()[3:] == ["training", "finished", "toy,", "4/4", "steps", "toy"]
    assert " evaluation  finished  toy-model:path=runs/toy, 2 rows " in listed[1]
    kinds = [(r["kind"], r["status"]) for r in json.loads(succeeded(harness("runs", "--json")))]
    assert kinds == [("training", "finished"), *[("evaluation", "finished")] * 3]


def test_a_table_of_steps_is_short_however_many_there_are(harness: Harness) -> None:
    succeeded(harness("train", "toy.toml", "--set", "trainer.steps=95"))
    lines = succeeded(harness("show", "last")).splitlines()
    start = next(i for i, line in enumerate(lines) if line.split()[:2] == ["step", "reward"])
    steps = [int(line.split()[0]) for line in lines[start + 1 : start + 11]]
    assert (steps[0], steps[-1], lines[start + 11]) == (1, 95, "")
    assert {b - a for a, b in itertools.pairwise(steps)} <= {10, 11}
    told = json.loads(succeeded(harness("show", "last", "--json")))
    assert [s["metrics"]["reward"] for s in told["steps"]] == [float(i) for i in range(1, 96)]
    assert told["config"]["trainer"]["settings"]["steps"] == 95


def test_values_are_changed_on_the_command_line(harness: Harness) -> None:
    changes = ["trainer.steps=2", "trainer.letter=it's", "scorers.f1.weight=0.5", "output=a b/c"]
    sets = [part for change in changes for part in ("--set", change)]
    told = json.loads(succeeded(harness("train", "toy.toml", *sets, "--json")))
    assert (told["model"], told["metrics"]) == ("a b/c", {"reward": 2.0})
    card = json.loads(Path("a b/c/samescore.json").read_text())
    assert card["training"] == told["training"]
    assert card["trainer"]["settings"] | {"save_every": 0} == {
        "steps": 2, "letter": "it's", "save_every": 0,
    }  # fmt: skip
    assert card["scorers"]["f1"]["weight"] == 0.5


def test_a_dry_run_checks_and_leaves_nothing_behind(harness: Harness, own_store: Path) -> None:
    told = json.loads(succeeded(harness("train", "toy.toml", "--dry-run", "--json")))
    assert told == {
        "trainer": "toy:steps=4",
        "scorers": {"exact": 1.0, "f1": 0.0},
        "train": 3,
        "held_out": 2,
        "left_out": 0,
        "output": "runs/toy",
        "seed": 3,
    }
    assert "scorers   exact 1, f1 0" in succeeded(harness("train", "toy.toml", "--dry-run"))
    assert not own_store.exists()
    assert not Path("runs").exists()


def test_rows_are_held_out_dropped_and_limited(harness: Harness) -> None:
    rows = "".join(f"Question {i},x\n" for i in range(100))
    Path("many.csv").write_text(f"question,answer\n{rows}")
    Path("test.csv").write_text("question,answer\n question 7 ,x\nNew?,x\n")

    def dry(*changes: str) -> dict[str, int]:
        sets = [f"--set={change}" for change in ("data.train=many.csv", *changes)]
        return json.loads(succeeded(harness("train", "toy.toml", "--dry-run", "--json", *sets)))  # type: ignore[no-any-return]

    refused = harness("train", "toy.toml", "--dry-run", "--set", "data.train=many.csv")
    assert refused.returncode == 2
    assert "toy.toml: [data] 1 of 2 held-out rows have a prompt that is trained" in refused.stderr
    dropped = dry("data.overlap=drop", "data.limit=10")
    assert (dropped["train"], dropped["left_out"], dropped["held_out"]) == (10, 1, 2)
    shared = dry("data.test=[]", "data.holdout=0.3")
    assert 15 <= shared["held_out"] <= 45
    assert shared["train"] + shared["held_out"] == 100
    both = dry('data.train=["many.csv","train.csv"]', "data.test=[]")
    assert (both["train"], both["held_out"]) == (103, 0)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("trainer.step=3", "toy.toml: [trainer] toy has no setting 'step'; did you mean 'steps'?"),
        ("trainer.steps=many", "toy.toml: [trainer] toy: steps is 'many'; it must be a whole numb"),
        ("trainer.steps={a=1}", "toy.toml: [trainer] steps is a table; it must be text, a number"),
        ("trainer.use=tooy", "toy.toml: [trainer] no trainer is called 'tooy'; did you mean 'toy'"),
        ("trainer.use=1", 'toy.toml: [trainer] needs use = "NAME"'),
        ("trainer=toy", "toy.toml: trainer is 'toy'; write a table, [trainer]"),
        ("scorers.f1.mode=f2", "toy.toml: [scorers.f1] match: mode is 'f2'; choose one of"),
        ("scorers.f1.weight=true", "toy.toml: [scorers.f1] weight is True; it must be a number"),
        ("scorers.f1.weight=nan", "toy.toml: [scorers.f1] weight is nan; it must be a number"),
        ("scorers.g.weight=1", 'toy.toml: [scorers.g] needs use = "NAME"'),
        ("scorers.f1=match", "toy.toml: [scorers] f1 is 'match'; write a table, [scorers.f1]"),
        ("data.promt=x", "toy.toml: [data] has no setting 'promt'; did you mean 'prompt'?"),
        ("data.prompt=quesion", "toy.toml: [data] train.csv, row 1 (line 2): there is no column"),
        ("data.train=trian.csv", "there is no file trian.csv; did you mean train.csv?"),
        ("data.train=[]", "toy.toml: [data]: train is missing; write train = "),
        ("data.limit=few", "toy.toml: [data]: limit is 'few'; it must be a whole number"),
        ("data.limit=0", "toy.toml: [data]: limit is 0; it must be at least 1"),
        ("data.holdout=0.5", "toy.toml: [data]: test and holdout are both given"),
        ("data.overlap=keep", "toy.toml: [data]: overlap is 'keep'; choose one of refuse, drop"),
        ("select=f1", "toy.toml: the trainer toy cannot select a checkpoint; leave select"),
        ("sede=1", "toy.toml has a key 'sede'; did you mean 'seed'?"),
        ("seed=x", "toy.toml: seed is 'x'; it must be a whole number"),
        ('output=""', 'toy.toml: output is missing; write output = "FOLDER" above the tables'),
        ("trainer", "--set trainer: write KEY=VALUE"),
        ("a b=1", "--set a b=1: 'a b' is no key"),
    ],
)
@pytest.mark.usefixtures("harness", "toy")
def test_what_is_wrong_in_the_file_is_told_with_its_place(change: str, told: str) -> None:
    with pytest.raises(HarnessError) as error:
        prepare(read_config("toy.toml", [change]))
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_wrong_is_one_line_and_leaves_nothing_behind(
    harness: Harness, own_store: Path
) -> None:
    done = harness("train", "toy.toml", "--set", "trainer.step=3")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "harness: error: toy.toml: [trainer] toy has no setting 'step'; did you mean 'steps'? "
        "It has: steps, letter, save_every, fail_at, wait_at\n"
    )
    assert not own_store.exists()
    assert not Path("runs").exists()


def test_the_checkpoint_to_keep_is_chosen_on_the_command_line_too(harness: Harness) -> None:
    for more in (["--dry-run"], []):
        done = harness("train", "toy.toml", "--select", "watched", *more)
        assert (done.returncode, done.stdout) == (2, "")
        assert "the trainer toy cannot select a checkpoint; leave select" in done.stderr
    succeeded(harness("train", "toy.toml", "--set", "select=f1", "--select", ""))


def test_a_file_that_cannot_be_read_is_told(harness: Harness) -> None:
    Path("bad.toml").write_text("output = runs\n")
    Path("latin.toml").write_bytes(b'output = "\xe9"\n')
    for file, told in (
        ("tooy.toml", "there is no file tooy.toml; did you mean toy.toml?"),
        ("bad.toml", "bad.toml is no TOML: Invalid value (at line 1, column 10)"),
        ("latin.toml", "latin.toml is no TOML: 'utf-8' codec can't decode byte 0xe9"),
        (".", ". cannot be read: Is a directory"),
    ):
        done = harness("train", file)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert told in done.stderr


def test_nothing_is_evaluated_before_it_is_trained(harness: Harness) -> None:
    done = harness("train", "toy.toml", "--evaluate")
    assert done.returncode == 2
    assert "runs/toy holds no trained model yet; leave --evaluate out" in done.stderr
    done = harness("train", "toy.toml", "--generator", "recorded")
    assert (done.returncode, done.stderr) == (2, "harness: error: --generator is for --evaluate\n")


def test_another_training_in_the_same_folder_is_refused_unless_told(harness: Harness) -> None:
    succeeded(harness("train", "toy.toml"))
    refused = harness("train", "toy.toml", "--set", "trainer.letter=y")
    assert refused.returncode == 2
    assert "trainer.settings.letter: x → y" in refused.stderr
    succeeded(harness("train", "toy.toml", "--set", "trainer.letter=y", "--no-resume"))
    assert json.loads(Path("runs/toy/model.json").read_text()) == ["y", 4]


def test_ctrl_c_stops_after_the_step_and_the_same_command_goes_on(
    harness: Harness, own_store: Path
) -> None:
    os.mkfifo("reached")
    os.mkfifo("go-on")
    command = [sys.executable, "-m", "harness", "train", "toy.toml"]
    pipe = subprocess.PIPE
    waiting = [*command, "--set", "trainer.wait_at=3"]
    run = subprocess.Popen(waiting, stdout=pipe, stderr=pipe, text=True)
    Path("reached").read_text()
    run.send_signal(signal.SIGINT)
    assert run.stderr
    told = next(line for line in iter(run.stderr.readline, "") if "stopping" in line)
    Path("go-on").write_text("")
    out, errors = run.communicate()
    assert (run.returncode, out) == (130, "")
    assert told == "harness: stopping after this step; Ctrl-C again to stop at once\n"
    assert errors.endswith("the same command goes on from it\n")
    with Store(own_store, readonly=True) as store:
        (record,) = store.trainings.all()
        assert (record.status, record.steps) == ("interrupted", 3)
    succeeded(harness("train", "toy.toml"))
    with Store(own_store, readonly=True) as store:
        (again,) = store.trainings.all()
        assert (again.id, again.status, again.steps) == (record.id, "finished", 4)
        processes = [step.metrics["process"] for step in store.trainings.steps(record.id)]
    assert processes[0] == processes[2] != processes[3]


def test_a_second_ctrl_c_stops_at_once(harness: Harness, own_store: Path) -> None:
    os.mkfifo("reached")
    os.mkfifo("go-on")
    command = [sys.executable, "-m", "harness", "train", "toy.toml", "--set", "trainer.wait_at=3"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    Path("reached").read_text()
    run.send_signal(signal.SIGINT)
    assert run.stderr
    while "stopping" not in run.stderr.readline():
        pass
    run.send_signal(signal.SIGINT)
    run.communicate()  # it waits for nothing that this test would have to write
    assert run.returncode == 130
    with Store(own_store, readonly=True) as store:
        (record,) = store.trainings.all()
    assert (record.status, record.steps) == ("interrupted", 2)
