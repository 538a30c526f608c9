"""One seed's story: a blank model, its warm start, PPO, and the three models asked."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from harness import Evaluation, evaluate, train
from harness.data.writing import replacing
from harness.progress import shown
from harness.references import Reference, parse
from harness.training.config import Prepared, TrainingConfig, prepare

from . import relevance, rows
from .blank import write_blank
from .settings import Settings, save, training

REFERENCE, GOOD, BAD = "reference", "good", "bad"
REWARD, TRAINED_ON = "reward", "bertscore"
"""Labels: what was optimised, and the BERTScore inside of it."""
RELEVANCE = "relevance"
"""Label of the classifier, which no model is trained on."""

_K = 4


@dataclass(frozen=True, slots=True)
class Study:
    """A seed of a study, whose folder `out` holds the rows and the store of all seeds."""

    out: Path
    seed: int
    settings: Settings

    @property
    def folder(self) -> Path:
        """Where this seed's models lie."""
        return self.out / f"seed-{self.seed}"

    @property
    def store(self) -> Path:
        """Where every training and evaluation is recorded."""
        return self.out / "store.db"

    def warm_start(self) -> TrainingConfig:
        """The supervised training."""
        return training("sft.toml", [*self._changes("sft", "start"), *self.settings.sft])

    def ppo(self) -> TrainingConfig:
        """The training by PPO; rewards that have a pool take the training rows for it."""
        natural = f"scorers.length.target={rows.usual_words(self.out)}"
        changes = [*self._changes("ppo", "sft"), natural, *self.settings.ppo]
        config = training("ppo.toml", changes)
        return replace(config, scorers=tuple((self._pooled(s), w) for s, w in config.scorers))

    def classifier(self) -> TrainingConfig:
        """The training of the classifier, which is one for all seeds."""
        files = relevance.files(self.out)
        paths = {"output": self.out / relevance.FOLDER / "model"}
        paths |= {f"data.{name}": file for name, file in files.items()}
        changes = [f"{k}={json.dumps(str(v))}" for k, v in paths.items()]
        return training("classifier.toml", [*changes, *self.settings.classifier])

    def generators(self) -> dict[str, Reference]:
        """The models compared, each asked and sampled as in training."""
        found = {}
        told = self.ppo().trainer.settings
        for label, model, control in (
            (REFERENCE, "sft", ""),
            (GOOD, "ppo", str(told["good"])),
            (BAD, "ppo", str(told["bad"])),
        ):
            chosen = {
                "model": str(self.folder / model),
                "template": f"{control}{told['template']}",
                "chat": str(told.get("chat", "auto")),
                "max_new_tokens": str(told.get("max_new_tokens", 64)),
                "temperature": str(told.get("temperature", 1.0)),
                "batch_size": "64",
                "seed": str(self.seed),
            }
            found[label] = Reference("gpt2", chosen, label)
        return found

    def scorers(self) -> list[Reference]:
        """Those of PPO as they were in training, the BERTScore in the reward, and contrasts.

        The contrasts take other held-out rows' answers, and all that is common to them away. The
        classifier has never seen a held-out row, nor has PPO seen the classifier.
        """
        trained = [scorer for scorer, _ in self.ppo().scorers]
        inner = str(next(s for s in trained if s.label == REWARD).settings["of"])
        known = parse(inner)
        return [
            Reference(known.name, known.settings, TRAINED_ON),
            self._contrast("specific", inner),
            *trained,
            self._contrast("f1_specific", "match:mode=f1"),
            relevance.scorer(self.out, RELEVANCE),
        ]

    def evaluations(self, ask: Callable[..., Evaluation]) -> dict[str, Evaluation]:
        """The three models on the held-out rows; `ask` does as `harness.evaluate` does."""
        samples, cluster = rows.held_out(self.out)
        asking, scorers = self.settings.asking, self.scorers()
        return {
            label: ask(
                samples[: asking.rows or None],
                generator=generator,
                scorers=scorers,
                repeats=asking.attempts,
                cluster=cluster,
                name=f"ppo_faq seed {self.seed} {label}",
            )
            for label, generator in self.generators().items()
        }

    def _changes(self, kind: str, start: str) -> list[str]:
        paths = {
            "output": self.folder / kind,
            "trainer.model": self.folder / start,
            "data.train": self.out / rows.TRAIN,
            "data.test": self.out / rows.TEST,
        }
        return [f"seed={self.seed}", *(f"{k}={json.dumps(str(v))}" for k, v in paths.items())]

    def _pooled(self, scorer: Reference) -> Reference:
        if "pool" not in scorer.settings:
            return scorer
        pool = {"pool": str(self.out / rows.TRAIN)}
        return replace(scorer, settings={**scorer.settings, **pool})

    def _contrast(self, label: str, of: str) -> Reference:
        columns = {"prompt": "question", "reference": "answer", "k": str(_K)}
        pool = {"pool": str(self.out / rows.TEST)}
        return Reference("contrast", {"of": of, **pool, **columns}, label)


def run(study: Study, trained: rows.Rows, *, resume: bool = True) -> dict[str, Evaluation]:
    """Go through all stages; what is done already is read back.

    Raises:
        HarnessError: for settings that cannot be used, or a folder that holds another study.
        KeyboardInterrupt: when interrupted; the same call goes on from there.
    """
    relevance.write_pairs(study.out)
    stages = (study.ppo(), study.warm_start(), study.classifier())
    ppo, warm, classifier = (prepare(config) for config in stages)
    with _stage(study, "classifier", "a classifier: which answer belongs to a question?"):
        _train(study, classifier, resume)
    with _stage(study, "blank", "a blank model and a tokenizer of the training rows"):
        controls = [str(ppo.config.trainer.settings[name]) for name in ("good", "bad")]
        write_blank(
            study.folder / "start",
            study.settings.shape,
            trained.train,
            str(warm.config.trainer.settings["template"]),
            controls,
            study.seed,
        )
    with _stage(study, "sft", "warm start: it learns the training rows"):
        _train(study, warm, resume)
    with _stage(study, "ppo", "PPO: [good] earns the reward, [bad] loses it"):
        _train(study, ppo, resume)
    save(study.settings, study.out)
    with _stage(study, "evaluation", "reference, [good] and [bad] answer the held-out rows"):

        def ask(*given: object, **options: object) -> Evaluation:
            asked = cast(Callable[..., Evaluation], evaluate)
            return asked(*given, **options, store=study.store)

        return study.evaluations(ask)


def clear(out: Path) -> None:
    """Remove the models and the rows of every seed; what is recorded in the store stays."""
    for folder in out.glob("seed-*"):
        shutil.rmtree(folder)
    (out / rows.CARD).unlink(missing_ok=True)


def trained_seeds(out: Path) -> list[int]:
    """The seeds whose training by PPO is done, in order."""
    cards = out.glob("seed-*/ppo/samescore.json")
    names = (card.parents[1].name.removeprefix("seed-") for card in cards)
    return sorted(int(name) for name in names if name.lstrip("-").isdigit())


def same_scorer(study: Study, evaluation: Evaluation) -> bool:
    """Whether the reward that evaluated is the object that trained, by fingerprint."""
    card = json.loads((study.folder / "ppo" / "samescore.json").read_text("utf-8"))
    fingerprint: object = card["scorers"][REWARD]["fingerprint"]
    return fingerprint == evaluation.run.scorers[REWARD]


def cpu_minutes(study: Study) -> Mapping[str, float]:
    """What each stage took of the processors, over all of its runs, in minutes."""
    return {name: seconds / 60 for name, (seconds, _) in _times(study).items()}


def _train(study: Study, prepared: Prepared, resume: bool) -> None:
    config = prepared.config
    train(
        prepared.samples,
        trainer=config.trainer,
        scorers=prepared.scorers,
        output=config.output,
        held_out=prepared.held_out,
        seed=config.seed,
        resume=resume,
        name=f"ppo_faq seed {study.seed} {config.name}",
        store=study.store,
    )


@contextmanager
def _stage(study: Study, name: str, what: str) -> Iterator[None]:
    """Say what is being done, and count the processor time of what was not done before."""
    print(f"seed {study.seed}: {what}", file=sys.stderr, flush=True)
    began = time.process_time()
    done = False
    try:
        with shown():
            yield
        done = True
    finally:
        before, finished = _times(study).get(name, (0.0, False))
        if not finished:
            spent = before + time.process_time() - began
            _keep_times(study, {**_times(study), name: (spent, done)})


def _times(study: Study) -> dict[str, tuple[float, bool]]:
    file = study.folder / "times.json"
    return json.loads(file.read_text("utf-8")) if file.exists() else {}


def _keep_times(study: Study, times: Mapping[str, tuple[float, bool]]) -> None:
    study.folder.mkdir(parents=True, exist_ok=True)
    with replacing(study.folder / "times.json") as temporary:
        temporary.write_text(json.dumps(times) + "\n", "utf-8")
