"""Training: `train` runs a trainer against scorers, and records it.

`plan` says what a training is, `rewards` scores for it, `journal` records it, `card` writes down
in the model's folder what it was trained on, `stopping` is Ctrl-C, and `config` reads a TOML file.
"""

from harness.training.run import train

__all__ = ["train"]
