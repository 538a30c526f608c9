"""Training: `train` runs a trainer against scorers, and records it.

`plan` says what a training is, `locking` keeps two out of one folder, `rewards` scores for it,
`selecting` chooses the checkpoint that is kept, `journal` records it, `card` writes down in the
model's folder what it was trained on, `stopping` is Ctrl-C, and `config` reads a TOML file.
"""

from harness.training.run import train

__all__ = ["train"]
