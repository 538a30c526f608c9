"""Nobody is told what runs here: what libraries would send of themselves is switched off."""

from __future__ import annotations

import os

# Read when these libraries are imported. The first is huggingface_hub's, through which TRL tells
# which trainer runs; the second datasets' and evaluate's, which count what is loaded; then Ray's.
_OFF = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def switch_off() -> None:
    """Switch reporting off in this process and its children; what the user has set stands."""
    for name, value in _OFF.items():
        os.environ.setdefault(name, value)
