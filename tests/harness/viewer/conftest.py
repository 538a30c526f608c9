"""A store with two runs, a training and a measurement, and a client that asks pages for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.types import ASGIApp, Message, Scope

from harness import Completion, Credit, Evaluation, Sample, Score, Unscored, evaluate
from harness.components import TrainingStep
from harness.store import Store
from harness.store.measurements import MeasurementRecord
from harness.store.trainings import TrainingRecord
from harness.viewer.app import application

ROWS = 120
TRAINING, MEASUREMENT = "beef00000001", "feed00000001"


@dataclass(frozen=True)
class Answer:
    """What a page answered."""

    status: int
    headers: Mapping[str, str]
    text: str


class Client:
    """Asks an application for addresses, without a network."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, address: str, method: str = "GET", **headers: str) -> Answer:
        """The answer to a request; `if_none_match` stands for `If-None-Match`."""
        path, _, query = address.partition("?")
        given = {"host": "localhost:7007", **headers}
        scope: Scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"},
            "method": method, "path": path, "raw_path": quote(path).encode(),
            "query_string": query.encode(), "http_version": "1.1", "scheme": "http",
            "root_path": "", "server": ("localhost", 7007),
            "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in given.items()],
        }  # fmt: skip
        status, found, body = 0, {}, bytearray()

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            found.update({k.decode(): v.decode() for k, v in message.get("headers", ())})
            body.extend(message.get("body", b""))

        async def answer() -> None:
            await self._app(scope, receive, send)

        asyncio.run(answer())
        return Answer(status, found, body.decode())

    def settled(self, address: str) -> Answer:
        """The answer once nothing is read behind the page any more."""
        until = time.monotonic() + 120
        while time.monotonic() < until:
            answer = self(address)
            if " data-live" not in answer.text:
                return answer
        raise AssertionError(f"{address} does not come to an end")


class Words:
    """Gives credit to words; what begins with `no` it does not score."""

    name = "words"

    def identity(self) -> Mapping[str, str]:
        return {"version": "1"}

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        return [self._score(completion) for completion in completions]

    def _score(self, completion: Completion) -> Score:
        if completion.text.startswith("no"):
            return Score.missing(Unscored.REFUSAL, "it would not say")
        half = len(completion.text) // 2
        credit = (Credit(0, half, 0.5), Credit(half, len(completion.text), -0.25))
        value = int(completion.sample.id[1:]) % 40 / 40
        return Score(
            value, {"half": value / 2}, f"because of {completion.sample.id}", credit=credit
        )


def samples(wrong: int) -> list[Sample]:
    """Questions with recorded answers: every `wrong`th is wrong, every 10th refused."""
    answers = [
        "no, never" if i % 10 == 0 else f"it is {i if i % wrong else 'elsewhere'}"
        for i in range(ROWS)
    ]
    return [
        Sample(f"q{i}", f"Where is 50%_of {i}?", (f"it is {i}",), {"answer": answer})
        for i, answer in enumerate(answers)
    ]


def run(file: Path, name: str, rows: Sequence[Sample]) -> Evaluation:
    """An evaluation of recorded answers."""
    return evaluate(
        rows,
        generator="recorded:field=answer",
        scorers=["match", Words()],
        store=file,
        name=name,
        max_unscored=1.0,
    )


def fill_training(store: Store) -> None:
    """A training of 30 steps, with completions of every tenth."""
    scorer = {"label": "match", "name": "match", "fingerprint": "f", "weight": 1.0}
    config = {
        "trainer": {"label": "ppo", "name": "ppo"},
        "scorers": {"match": scorer, "judge": {**scorer, "weight": 0.0}},
    }
    record = TrainingRecord(TRAINING, "t.yaml::town", "running", "/out", config, {}, 1e9)
    store.trainings.begin(record)
    for i in range(1, 31):
        metrics = {"reward": i / 30, "score/match": i / 30, "score/judge": 0.5, "kl": i / 10}
        said = Completion(Sample("q", "Where?", ("here",)), f"said at {i}")
        examples = [(said, {"match": Score(0.5, reason="half of it")})] if i % 10 == 0 else []
        store.trainings.add_step(TRAINING, TrainingStep(i, 30, metrics, 1.0, examples))
    store.trainings.finish(TRAINING, "finished")


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with something of each kind."""
    file = tmp_path_factory.mktemp("viewer") / "store.db"
    run(file, "towns.py::towns[old]", samples(wrong=3))
    run(file, "towns.py::towns[new]", samples(wrong=7))
    points = [{"label": f"leaves {n}", "recall": 1 - 1 / n, "latency_us": 10.0 * n} for n in (2, 4)]
    with Store(file) as store:
        fill_training(store)
        record = MeasurementRecord(
            MEASUREMENT, "index", "retrieval", 1e9, {"vectors": 9}, {"points": points}
        )
        store.measurements.add(record)
    return file


@pytest.fixture(scope="session")
def ids(file: Path) -> tuple[str, str]:
    """The ids of the two runs, the older first."""
    with Store(file, readonly=True) as store:
        old, new = store.runs()
    return old.id, new.id


@pytest.fixture(scope="session")
def ask(file: Path) -> Client:
    """A client of the store's pages."""
    return Client(application(str(file)))
