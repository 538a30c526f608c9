"""The trainer `ppo`: sample, score, compare with the reference, update."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from harness import Completion, HarnessError, Score, TrainingResult, TrainingStep, TrainingTask
from harness.components import Selected
from harness.training.selecting import Best
from harness_gpt2.ppo._checkpoint import Checkpoint, Checkpoints
from harness_gpt2.ppo._collect import Collector
from harness_gpt2.ppo._experience import Trajectory, experience
from harness_gpt2.ppo._group import Group
from harness_gpt2.ppo._held_out import HeldOut, held_out_metrics, held_out_moments
from harness_gpt2.ppo._losses import KlControl
from harness_gpt2.ppo._metrics import batch_metrics, score_metrics, spread
from harness_gpt2.ppo._prompts import Prompts
from harness_gpt2.ppo._rewards import TokenRewards
from harness_gpt2.ppo._start import save, started, training_of, use_of
from harness_gpt2.ppo._tracking import trackers
from harness_gpt2.ppo._update import Updater, minibatches
from harness_gpt2.ppo.settings import PpoSettings


class PpoTrainer:
    """Trains a causal language model by PPO on the harness's scorers."""

    selects = True

    def __init__(self, settings: PpoSettings) -> None:
        self._settings = settings

    def train(self, task: TrainingTask) -> TrainingResult:
        """Train; what lies in the task's output afterwards loads as any causal LM does.

        Raises:
            HarnessError: for a model or a prompt that cannot be used, no scorer that counts, a
                batch of which nothing was scored, or an output that holds another training.
            KeyboardInterrupt: when interrupted; the state was saved.
        """
        try:
            return Training(self._settings, task).run()
        except torch.OutOfMemoryError as error:
            raise HarnessError(
                "ppo: the device is out of memory; try a smaller microbatch_size, batch_size or "
                "max_new_tokens, or train_layers or lora_rank"
            ) from error


class Training:
    """One training under way."""

    def __init__(self, settings: PpoSettings, task: TrainingTask) -> None:
        self._settings, self._task = settings, task
        self._start = start = started(settings, task)
        self._policy = start.policy
        self._group = Group(self._policy.model.device)
        self._prompts = Prompts(task.samples, start.loaded, settings, task.seed)
        self._collector = Collector(self._policy, start.loaded, task.rewards, settings)
        asked = Prompts(task.held_out, start.loaded, settings, task.seed).every()
        self._held_out = HeldOut(asked, self._collector, self._group, settings.batch_size)
        self._updater = Updater(self._policy, settings, self._group, start.autocast)
        self._kl = KlControl(settings.kl_coef, settings.kl_target, settings.kl_horizon)
        self._rewards = TokenRewards(dict(task.rewards.weights), settings)
        training = training_of(settings, task, start.loaded)
        self._checkpoints = Checkpoints(task.output / "checkpoints", training)
        self._best = Best()

    def run(self) -> TrainingResult:
        """Train from the start, or from the latest checkpoint."""
        task, steps = self._task, self._settings.steps
        metrics: Mapping[str, float] = {}
        first = self._resume()
        with trackers(self._settings, task, self._group.rank == 0) as track:
            for done in range(first + 1, steps + 1):
                began = time.perf_counter()
                metrics, examples = self._step(done - 1)
                track(metrics, done)
                seconds = time.perf_counter() - began
                task.report(TrainingStep(done, steps, metrics, seconds, examples))
                self._keep(done, self._group.any(task.interrupted()))
        selected = self._select()
        if self._group.rank == 0:
            save(self._start, task.output)
        use = use_of(self._settings, task.output)
        return TrainingResult(task.output, metrics, use, selected)

    def _select(self) -> Selected | None:
        """Put the selected checkpoint in the policy's place, where one was asked for."""
        by, best = self._task.select, self._best
        if by is None:
            return None
        if not best.step:
            raise HarnessError(
                f"ppo: no evaluation has scores of all of {', '.join(by.labels)}, so no checkpoint "
                "can be selected by them"
            )
        if self._group.rank == 0:  # the others save no model
            self._put(self._checkpoints.tensors_of(best.step))
        return best.selected(by)

    def _step(
        self, step: int
    ) -> tuple[dict[str, float], list[tuple[Completion, Mapping[str, Score]]]]:
        """One batch: sample, score, reward, update; gives metrics and some examples."""
        began, settings = time.perf_counter(), self._settings
        self._collector.seconds.clear()
        rate = self._set_learning_rate(step)
        questions = self._group.share(self._prompts.batch(step))
        mine = self._collector.trajectories(questions, self._start.autocast)
        every = self._group.gathered(mine)
        scored = self._scored(step, every)
        rewards = self._earned(step, scored)
        known = experience(scored, rewards, self._kl.coefficient, settings)
        updating = time.perf_counter()
        rng = np.random.default_rng([self._task.seed, 2, step])
        batches = minibatches(known.lengths(), settings.minibatch_size, settings.epochs, rng)
        updated = self._updater.update(known, batches)
        self._collector.seconds["update"] += time.perf_counter() - updating
        metrics = batch_metrics(scored, rewards, known) | score_metrics(every) | updated
        metrics |= {"kl_coef": self._kl.coefficient, "learning_rate": rate}
        self._kl.update(metrics["kl_k1"], len(scored))
        metrics |= {f"seconds/{name}": s for name, s in self._collector.seconds.items()}
        metrics |= self._evaluated(step + 1)
        tokens = sum(len(t.tokens) for t in every)
        metrics["tokens_per_s"] = tokens / (time.perf_counter() - began)
        examples = [(t.completion, t.response.scores) for t in every[: settings.examples]]
        return metrics, examples

    def _scored(self, step: int, trajectories: Sequence[Trajectory]) -> list[Trajectory]:
        """Those that every scorer that counts has scored: the others teach nothing."""
        scored = [t for t in trajectories if self._rewards.scored(t.response.scores)]
        if scored:
            return scored
        if step:
            self._save(step)
        missing = (s for t in trajectories for s in t.response.scores.values() if s.unscored)
        causes = Counter(f"{s.unscored}: {s.reason}" for s in missing)
        raise HarnessError(
            f"ppo: nothing was scored in step {step + 1} ({causes.most_common(1)[0][0]}); mend "
            "that, and the same command goes on from the step before"
        )

    def _earned(self, step: int, scored: Sequence[Trajectory]) -> list[list[float]]:
        responses = [t.response for t in scored]
        self._rewards.measure(responses)
        rewards = [self._rewards.rewards(response) for response in responses]
        counting = [label for label, weight in self._task.rewards.weights.items() if weight]
        values = [[r.scores[label].value or 0.0 for label in counting] for r in responses]
        if len(scored) > 1 and not any(spread(column) for column in zip(*values, strict=True)):
            warnings.warn(
                f"ppo: in step {step + 1} all {len(scored)} responses have one reward, "
                f"{values[0][0]:g}: there is nothing to learn from it",
                stacklevel=2,
            )
        return rewards

    def _evaluated(self, done: int) -> dict[str, float]:
        """What the held-out rows say of the policy after a step, when that is due."""
        every = self._settings.evaluate_every
        if not (every and self._held_out and done % every == 0):
            return {}
        answered = self._held_out.answered(self._start.autocast)
        if self._task.select is not None:
            found = held_out_moments(answered, self._task.select.labels)
            self._best = self._best.seen(done, found) if found else self._best
        return held_out_metrics(answered, self._rewards)

    def _set_learning_rate(self, step: int) -> float:
        """Linear warm-up, then constant or falling to 0."""
        settings = self._settings
        rate = settings.learning_rate * min(1.0, (step + 1) / max(settings.warmup, 1))
        if settings.schedule == "linear":
            rate *= 1 - step / settings.steps
        for group in self._updater.optimizer.param_groups:
            group["lr"] = rate * group["rate"]
        return rate

    def _keep(self, done: int, stop: bool) -> None:
        """Save when it is due; raise KeyboardInterrupt where the user asked to stop."""
        every = self._settings.save_every
        last = done == self._settings.steps
        if stop or last or done == self._best.step or (every and done % every == 0):
            self._save(done)
        if stop and not last:
            raise KeyboardInterrupt

    def _save(self, step: int) -> None:
        if self._group.rank:
            return
        tensors = {n: p.detach().contiguous() for n, p in self._policy.trained().items()}
        optimizer = self._updater.optimizer.state_dict()
        self._checkpoints.save(
            Checkpoint(
                step,
                tensors,
                optimizer,
                self._kl.coefficient,
                self._rewards.moments,
                self._best,
            )
        )

    def _resume(self) -> int:
        """Give how many steps are done already."""
        if not self._task.resume:
            self._checkpoints.clear()
        found = self._checkpoints.latest()
        if found is None:
            return 0
        self._put(found.tensors)
        self._updater.optimizer.load_state_dict(found.optimizer)
        self._kl.coefficient = found.kl_coef
        self._rewards.moments, self._best = found.moments, found.best
        return found.step

    @torch.no_grad()
    def _put(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Make the trained tensors these."""
        for name, parameter in self._policy.trained().items():
            parameter.copy_(tensors[name])
