"""What every training with TRL goes through: start, resume, train, save."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, cast

import torch
import transformers
import trl
from accelerate import PartialState
from peft import LoraConfig, PeftModel
from transformers import PreTrainedModel, Trainer
from transformers.pytorch_utils import Conv1D
from transformers.trainer_callback import PrinterCallback

from harness import HarnessError, TrainingResult, TrainingTask
from harness.fingerprint import deciding, samples_digest
from harness.quiet import first_line
from harness_trl import TrlSettings, _checkpoints
from harness_trl._checkpoints import Record
from harness_trl._quiet import silent
from harness_trl._reporting import Reporter
from harness_trl._start import Start, grounded, load, weights_digest, write
from harness_trl._use import use_of

_START = "start"


class Plan(NamedTuple):
    """A training about to run: what it starts from, and where its checkpoints go."""

    start: Start
    folder: Path


Build = Callable[[Plan], tuple[Trainer, Reporter]]


def versions() -> dict[str, str]:
    """The versions that decide what a training gives."""
    return {
        "trl": trl.__version__,
        "transformers": transformers.__version__,
        "torch": str(torch.__version__),
    }


def train(
    settings: TrlSettings, task: TrainingTask, build: Build, *, reference: bool = False
) -> TrainingResult:
    """Run the trainer that `build` makes, from the start or from the latest whole checkpoint.

    With `reference` the starting model is kept in a folder of the training's own, so that what
    TRL loads as the reference is that very model, also when the training is resumed.

    Raises:
        HarnessError: for what the user should mend; what was done until then is saved.
        KeyboardInterrupt: when interrupted; the state was saved.
    """
    if task.output.resolve() == Path(settings.model).expanduser().resolve():
        raise HarnessError(f"output and model are both {task.output}; choose another output")
    folder = task.output / "checkpoints"
    with silent():
        on_cpu = settings.device == "cpu" or not torch.cuda.is_available()
        with PartialState(cpu=on_cpu).main_process_first():
            start, record = _started(settings, task, folder, reference)
        if record["finished"] is not None:
            return TrainingResult(task.output, record["finished"], use_of(task.output, settings))
        trainer, reporter = _built(build, Plan(start, folder))
        _run(trainer, reporter, _checkpoints.latest(folder))
        metrics = dict(reporter.metrics)
        if trainer.is_world_process_zero():
            write(_final(trainer), start.tokenizer, task.output)
            _checkpoints.write(folder, {**record, "finished": metrics})
        trainer.accelerator.wait_for_everyone()
    return TrainingResult(task.output, metrics, use_of(task.output, settings))


def adapters(settings: TrlSettings, model: PreTrainedModel) -> LoraConfig | None:
    """What LoRA adds to this model; None trains all weights."""
    if not settings.lora_rank:
        return None
    return LoraConfig(
        r=settings.lora_rank,
        lora_alpha=cast(int, settings.lora_alpha),
        task_type="CAUSAL_LM",
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
    )


def _started(
    settings: TrlSettings, task: TrainingTask, folder: Path, reference: bool
) -> tuple[Start, Record]:
    """The starting model, and the record of the training, which is new where there was none."""
    first = PartialState().is_main_process
    if first and not task.resume:
        shutil.rmtree(folder, ignore_errors=True)
    known, kept = _checkpoints.read(folder), folder / _START
    begun = known is not None and (kept / "config.json").is_file()
    start = load(str(kept) if begun else settings.model)
    training: dict[str, object] = {
        "settings": deciding(settings),
        "model": known["training"]["model"] if begun and known else weights_digest(start.model),
        "samples": samples_digest(task.samples),
        "weights": dict(task.rewards.weights),
        "seed": task.seed,
    }
    if known is not None:
        _checkpoints.refuse_another(folder, known, training)
    lost = known is not None and not (task.output / "config.json").is_file()
    record: Record = {
        "training": training,
        "finished": known["finished"] if known and not lost else None,
    }
    if first:
        if reference and not begun:
            start = grounded(start, kept)
        _checkpoints.write(folder, record)
    return start, record


def _built(build: Build, plan: Plan) -> tuple[Trainer, Reporter]:
    try:
        trainer, reporter = build(plan)
    except (ValueError, TypeError, OSError, ImportError, RuntimeError) as error:
        raise HarnessError(f"TRL refuses these settings: {first_line(error)}") from error
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(reporter)
    return trainer, reporter


def _run(trainer: Trainer, reporter: Reporter, checkpoint: Path | None) -> None:
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except HarnessError:
        if trainer.state.global_step:
            trainer._save_checkpoint(trainer.accelerator.unwrap_model(trainer.model), trial=None)
        raise
    except ValueError as error:
        if trainer.state.global_step:
            raise
        raise HarnessError(f"TRL refuses these settings: {first_line(error)}") from error
    except torch.OutOfMemoryError as error:
        raise HarnessError(
            "the device is out of memory; try a smaller microbatch_size, batch_size or "
            "max_new_tokens, or lora_rank"
        ) from error
    reporter.flush()
    if reporter.interrupted:
        raise KeyboardInterrupt


def _final(trainer: Trainer) -> PreTrainedModel:
    model = trainer.accelerator.unwrap_model(trainer.model)
    merged = model.merge_and_unload() if isinstance(model, PeftModel) else model
    return cast(PreTrainedModel, merged)
