"""Being connected to a cluster, without a word on the user's terminal."""

from __future__ import annotations

import logging
import os
import socket

import ray

from harness import HarnessError, telemetry
from harness.building import one_line

_PATIENCE_S = 5.0
# `ray start --head` takes a token that is there by itself; who joins or connects, only if told to.
_HINT = "one with a token wants RAY_AUTH_MODE=token, and ~/.ray/auth_token as its nodes have it"
_STORE_BYTES = 256 * 2**20  # batches are small: what is under way at once fits many times over


def connect(address: str) -> None:
    """Connect this process, which stays connected until it ends: the next run starts at once.

    Raises:
        HarnessError: for a cluster that cannot be reached, or is another one than is connected.
    """
    if ray.is_initialized():
        there = ray.get_runtime_context().gcs_address
        if address not in ("", "auto", there):
            raise HarnessError(f"ray: this process is connected to {there}, not to {address}")
        return
    telemetry.switch_off()
    wanted = address or os.environ.get("RAY_ADDRESS") or "local"
    knock(wanted)
    _silence()
    own: dict[str, object] = {"include_dashboard": False, "object_store_memory": _STORE_BYTES}
    try:
        ray.init(
            wanted,
            log_to_driver=False,
            configure_logging=False,
            **(own if wanted == "local" else {}),
        )
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        told = one_line(error)[:300]
        raise HarnessError(f"ray: the cluster {wanted} cannot be used: {told}; {_HINT}") from error


def knock(address: str) -> None:
    """Raise HarnessError where nobody answers: Ray itself would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE_S).close()
    except (OSError, OverflowError) as error:
        raise HarnessError(f"ray: nothing answers at {address}: {one_line(error)}") from error


def _silence() -> None:
    """Keep Ray's advice and its reports of dead workers off our output, which may be JSON.

    `log_to_driver=False` alone lets the latter through, to standard output.
    """
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    ray._private.worker._worker_logs_enabled = False


def resources() -> dict[str, float]:
    """What the nodes that are up have: CPU, GPU; and how many they are, as `nodes`."""
    found = ray.cluster_resources()
    nodes = sum(bool(node["Alive"]) for node in ray.nodes())
    return {"CPU": found.get("CPU", 0.0), "GPU": found.get("GPU", 0.0), "nodes": float(nodes)}
