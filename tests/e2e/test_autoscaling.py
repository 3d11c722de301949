"""A cluster that has no GPU node grows to two, loses one, ends the work and shrinks to none."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from raypipe.storage.run import Run
from raypipe.storage.usage import attempts
from tests.conftest import RunCli
from tests.e2e.autoscaling import Autoscaling, autoscaling, lose, workers
from tests.e2e.listed import Place, command, draw, rows

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

FILES, REPEATS, SHARD = 60, 8, 8
IMAGES = FILES * REPEATS
DEADLINE = 120.0  # seconds; nothing here should take a third of it


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    draw(root, FILES, REPEATS)
    return root


@pytest.fixture(scope="module")
def local(process: RunCli, weights, folder, tmp_path_factory) -> dict[str, tuple[int, str]]:
    """Extract on CPUs of this machine."""
    place = Place(str(tmp_path_factory.mktemp("local")), str(folder / "list.csv"))
    words = command(place, weights, SHARD, "local")
    result = process(*words, "--cpus", 2, "--set", "engine.device=cpu", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "networks on CPUs" in result.stderr
    found = rows(place)
    assert found["maps"][0] == IMAGES - REPEATS
    return found


@pytest.mark.parametrize("v2", [False, True], ids=["v1", "v2"])
def test_nodes_come_one_is_lost_and_they_go(v2, local, weights, folder, tmp_path) -> None:
    place = Place(str(tmp_path), str(folder / "list.csv"))
    log = tmp_path / "log"
    with autoscaling(v2=v2) as cluster:
        assert cluster.nodes() == []
        driver = cluster.drive(
            *command(place, weights, SHARD, cluster.address),
            "--set", "engine.device=gpu", "--set", "engine.min_actors=2", log=log,
        )  # fmt: skip
        try:
            wait_until(lambda: len(cluster.nodes()) == 2, driver, log)
            wait_until(lambda: place.done() > 4 and bool(at_work(cluster)), driver, log)
            lost = at_work(cluster)[0]
            lose(lost)
            assert place.done() < IMAGES // SHARD, "in the middle"
            driver.wait(DEADLINE)
        finally:
            driver.kill()
        assert driver.returncode == 0, log.read_text()
        assert "networks on GPUs, 2 actors (0 fit now)" in log.read_text()
        assert rows(place) == local
        (used,) = [item for item in attempts(Run.at(str(place.at("")))) if item.step == "extract"]
        assert used.lost == 1
        gpu_seconds = sum(kind.seconds * kind.gpus for kind in used.kinds)
        assert 0 < gpu_seconds < 2 * used.seconds, used
        ended = time.monotonic()
        while cluster.nodes():  # no request for nodes and no idle actor keeps one
            assert time.monotonic() - ended < DEADLINE
            time.sleep(0.1)


def at_work(cluster: Autoscaling) -> list:
    return [node for node in cluster.nodes() if workers(node)]


def wait_until(done: Callable[[], bool], driver, log: Path) -> None:
    deadline = time.monotonic() + DEADLINE
    while not done():
        assert driver.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
