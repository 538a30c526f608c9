"""Runs over a Ray cluster: the same rows as here, whatever becomes of a worker or a node."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from harness import Evaluation, HarnessError, Sample, evaluate
from harness.store import Store

pytest.importorskip("ray")

SAMPLES = [Sample(f"s{i:02}", f"{'prompt ' * (i % 5)}{i % 37}") for i in range(60)]
BATCHES = [s.id for s in SAMPLES[::4]]
COMMAND = [sys.executable, "-m", "harness", "run", "bench_toy.py", "--store", "s.db"]
NODE = {"object_store_memory": 80_000_000, "include_dashboard": False}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which the plugin is installed, on the path of this process and of every node."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(Path(__file__).with_name("ray_toy.py"), folder)
    info = folder / "ray_toy-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ray-toy\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[samescore]\nray-toy = ray_toy\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        # Plugins are found once for each choice of those left out, so now they are found anew.
        patch.setenv("HARNESS_NO_PLUGIN", "vertex")
        yield folder


class Cluster:
    """Nodes on this machine, each with a raylet and workers of its own."""

    def __init__(self) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        from ray.cluster_utils import Cluster as RayCluster

        logging.getLogger("ray").setLevel(logging.CRITICAL)
        self._cluster = RayCluster()
        self._cluster.add_node(num_cpus=2, **NODE)
        self.address = str(self._cluster.address)

    def executor(self, settings: str = "") -> str:
        return f"ray:{self.address}{settings and ','}{settings}"

    def add_node(self) -> int:
        """One more node of one CPU; the number of its raylet's process."""
        node = self._cluster.add_node(num_cpus=1, **NODE)
        return int(node.all_processes["raylet"][0].process.pid)

    def close(self) -> None:
        import ray

        ray.shutdown()
        self._cluster.shutdown()


@pytest.fixture(scope="module")
def cluster(site: Path) -> Iterator[Cluster]:
    """A cluster whose first node has two CPUs, as Ray counts them."""
    started = Cluster()
    try:
        yield started
    finally:
        started.close()


def kill_node(raylet: int) -> None:
    """A node that loses its power: no process of it gets to say anything."""
    workers = psutil.Process(raylet).children(recursive=True)
    os.kill(raylet, signal.SIGKILL)
    for worker in workers:
        with suppress(psutil.NoSuchProcess):
            worker.kill()


@contextmanager
def killed_in_the_middle(raylet: int, log: Path) -> Iterator[None]:
    """Within it a node is killed, once the log says that some is done, and it is busy."""
    done = threading.Event()

    def kill_when_busy() -> None:
        while not done.is_set():
            told = lines(log)
            last = {worker: what for what, _, worker, node in told if node == str(raylet)}
            if len(told) > 10 and "begun" in last.values():
                kill_node(raylet)
                return
            done.wait(0.002)

    killer = threading.Thread(target=kill_when_busy)
    killer.start()
    try:
        yield
    finally:
        done.set()
        killer.join()
    assert not psutil.pid_exists(raylet) or psutil.Process(raylet).status() == "zombie"


def run(
    executor: str | None, store: Path, scorer: str = "ray-toy", **options: object
) -> Evaluation:
    settings = {"generator": "ray-toy", "scorers": [scorer], "max_unscored": 0.5, **options}
    return evaluate(SAMPLES, store=store, executor=executor, **settings)  # type: ignore[arg-type]


def rows(evaluation: Evaluation) -> list[object]:
    """All that a run has recorded but times."""
    return [(row.completion, row.scores) for row in evaluation.rows()]


def lines(log: Path) -> list[list[str]]:
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


def test_a_run_is_the_same_row_for_row(cluster: Cluster, tmp_path: Path) -> None:
    here = run(None, tmp_path / "here.db", repeats=2)
    there = run(cluster.executor(), tmp_path / "there.db", repeats=2)
    assert there.run.id == here.run.id
    assert there.run.config == here.run.config
    assert rows(there) == rows(here)
    assert here["ray-toy"].causes == {"no_completion": 12, "scorer_error": 12, "refusal": 12}


def test_a_node_that_is_killed_costs_what_it_was_busy_with(
    cluster: Cluster, tmp_path: Path
) -> None:
    log, raylet = tmp_path / "log", cluster.add_node()

    scorer, mine = f"ray-toy:log={log},seconds=0.05", {"generator": "mine=ray-toy"}
    spread = cluster.executor("driver=mine,workers=3,in_flight=2")
    with killed_in_the_middle(raylet, log):
        there = run(spread, tmp_path / "there.db", scorer, **mine)
    told = lines(log)
    assert {parent for *_, parent in told} > {str(raylet)}
    scored_by = {batch: set[str]() for batch in BATCHES}
    for what, batch, worker, _ in told:
        if what == "begun" and batch in scored_by:
            scored_by[batch].add(worker)
    assert all(scored_by.values())
    assert 1 <= sum(len(workers) - 1 for workers in scored_by.values()) <= 2
    assert rows(there) == rows(run(None, tmp_path / "here.db", scorer, **mine))


def test_no_more_is_under_way_than_was_said(cluster: Cluster, tmp_path: Path) -> None:
    log = tmp_path / "log"
    spread = cluster.executor("workers=1,in_flight=2")
    run(
        spread, tmp_path / "s.db", f"ray-toy:log={log},seconds=0.03", generator=f"ray-toy:log={log}"
    )
    made, most = 0, 0
    for what, batch, *_ in lines(log):
        if batch in BATCHES and what != "begun":
            made += 1 if what == "generated" else -1
            most = max(most, made)
    assert 3 <= most <= 2 + 2


def test_a_batch_that_ends_its_workers_ends_the_run_and_the_rest_stays(
    cluster: Cluster, tmp_path: Path
) -> None:
    store, fatal = tmp_path / "s.db", tmp_path / "fatal"
    fatal.touch()
    scorer, once = f"ray-toy:end={fatal}", cluster.executor("retries=1,driver=mine")
    mine = {"generator": "mine=ray-toy"}
    with pytest.raises(HarnessError, match=r"ray-toy.*: 2 workers died of one batch"):
        run(once, store, scorer, **mine)
    with Store(store) as opened:
        record = opened.run("last")
        assert record.status == "interrupted"
        assert Evaluation(record, opened).summaries[scorer].n >= 1
    fatal.unlink()
    there = run(once, store, scorer, **mine)
    assert there.run.id == record.id
    assert rows(there) == rows(run(None, tmp_path / "here.db", scorer, **mine))


def test_what_the_user_must_mend_reaches_the_user(cluster: Cluster, tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"^there is something to mend$"):
        run(cluster.executor(), tmp_path / "s.db", "ray-toy:refuse=true")
    with pytest.raises(HarnessError, match=r"no worker within 0\.5 s.* 0 GPU on"):
        run(cluster.executor("gpus=ray-toy=1,wait_s=0.5"), tmp_path / "s.db")


def test_another_version_on_a_node_is_refused(cluster: Cluster, site: Path, tmp_path: Path) -> None:
    from harness.loader import default_plugins

    default_plugins().find("ray-toy", "generator")  # whose code is read here and now
    run(None, tmp_path / "s.db")
    code = site / "ray_toy.py"
    before = code.read_text()
    try:
        code.write_text(f"{before}\n# another version\n")
        with pytest.raises(HarnessError, match=r"another one than the run: code: .* → "):
            run(cluster.executor(), tmp_path / "s.db")
    finally:
        code.write_text(before)


@pytest.fixture
def suite(cluster: Cluster, tmp_path: Path) -> Path:
    """A folder with a benchmark."""
    ids = [[s.id, s.prompt] for s in SAMPLES]
    (tmp_path / "bench_toy.py").write_text(
        f"""from harness import Sample

def bench_toy(evaluate):
    samples = [Sample(*row) for row in {ids!r}]
    evaluate(
        samples, generator="mine=ray-toy:log=log", scorers=["ray-toy:log=log,seconds=0.05"],
        max_unscored=0.5,
    )
"""
    )
    return tmp_path


def test_the_command_spreads_a_suite_and_says_nothing_of_it(cluster: Cluster, suite: Path) -> None:
    raylet = cluster.add_node()

    spread = cluster.executor('workers=["mine=1","ray-toy=2"]')
    with killed_in_the_middle(raylet, suite / "log"):
        done = subprocess.run(
            [*COMMAND, "--executor", spread, "--json"],
            cwd=suite,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["benchmarks"][0]["runs"][0]["scorers"]
    assert "raylet" not in done.stdout + done.stderr
    assert "ray.io" not in done.stdout + done.stderr


def test_an_interrupt_keeps_what_came(cluster: Cluster, suite: Path) -> None:
    started = subprocess.Popen(
        [*COMMAND, "--executor", cluster.executor("workers=1")],
        cwd=suite,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while sum(what == "scored" for what, *_ in lines(suite / "log")) < 6:
        threading.Event().wait(0.01)
    started.send_signal(signal.SIGINT)
    told, _ = started.communicate(timeout=30)
    assert started.returncode == 2, told
    assert "the same command goes on from it" in told
    with Store(suite / "s.db") as opened:
        record = opened.run("last")
        assert record.status == "interrupted"
        (label,) = record.scorers
        assert Evaluation(record, opened).summaries[label].n >= 3
