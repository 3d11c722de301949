"""Whatever is killed, and whenever: the same command again gives the same rows, each once.

Drivers and workers are real processes and die by SIGKILL at moments drawn with a seed. A driver is
forked from a server that has imported everything, because imports take longer than the work.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil
import pytest
from ray.cluster_utils import Cluster

from raypipe.cli import main
from raypipe.storage.location import Location
from tests import s3
from tests.conftest import RunCli
from tests.e2e.listed import Place, command, draw, rows

pytestmark = pytest.mark.faults

FILES, REPEATS, SHARD = 60, 24, 16
IMAGES = FILES * REPEATS
SHARDS = -(-IMAGES // SHARD)
DEADLINE = 240.0  # seconds; nothing here should take a tenth of it


# -- drivers --------------------------------------------------------------------------------------


def drive(words: list[str], env: dict[str, str], log: str) -> None:
    """Be `raypipe` with these arguments; runs in a forked process."""
    os.environ.update(env)
    os.setsid()
    with Path(log).open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["raypipe", *words]
    main()


Start = Callable[..., BaseProcess]


@pytest.fixture(scope="module")
def start() -> Start:
    """Start a driver process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["raypipe.cli", "raypipe.extract.flow", "ray.data"])

    def begin(*words: object, log: Path) -> BaseProcess:
        process = context.Process(
            target=drive, args=([str(word) for word in words], dict(os.environ), str(log))
        )
        process.start()
        while process.is_alive() and os.getpgid(process.pid) != process.pid:
            time.sleep(0.01)  # it can be killed as a group from here on
        return process

    return begin


def kill_driver(process: BaseProcess) -> None:
    assert process.pid is not None
    os.killpg(process.pid, signal.SIGKILL)  # a local cluster dies with its driver, or by itself
    process.join()
    assert process.exitcode == -signal.SIGKILL


# -- clusters and data ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster that runs whatever its drivers do."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3.ENVIRONMENT.items():
            patch.setenv(name, value)
        running = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
        yield running
        running.shutdown()


def workers(cluster: Cluster) -> list[psutil.Process]:
    """Return the processes that hold networks."""
    raylets = [
        psutil.Process(info.process.pid)
        for node in cluster.list_all_nodes()
        for info in node.all_processes["raylet"]
    ]
    below = [child for raylet in raylets for child in raylet.children(recursive=True)]
    return [child for child in below if child.cmdline()[:1][0].startswith("ray::MapWorker")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of two classes, one of them broken, each listed many times under other names."""
    root = tmp_path_factory.mktemp("images")
    draw(root, FILES, REPEATS)
    return root


@pytest.fixture(scope="module", params=["disk", "bucket"])
def place(request, folder: Path, tmp_path_factory) -> Iterator[Place]:
    if request.param == "disk":
        yield Place(str(tmp_path_factory.mktemp("runs")), str(folder / "list.csv"))
        return
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3.ENVIRONMENT.items():
            patch.setenv(name, value)
        with s3.serving() as store:
            images = store.upload(folder)
            yield Place(store.uri(store.bucket()), store.uri(f"{images}/list.csv"))


# -- kills ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def undisturbed(start, cluster, weights, folder, tmp_path_factory) -> dict[str, tuple[int, str]]:
    place = Place(str(tmp_path_factory.mktemp("undisturbed")), str(folder / "list.csv"))
    log = tmp_path_factory.mktemp("log") / "log"
    running = start(*command(place, weights, SHARD, cluster.address), log=log)
    running.join(DEADLINE)
    assert running.exitcode == 0, log.read_text()
    found = rows(place)
    assert found["maps"][0] == IMAGES - REPEATS
    assert found["rejects"][0] == REPEATS
    assert found["regions"][0] > IMAGES
    return found


def wait_until(done: Callable[[], bool], running: BaseProcess, log: Path) -> None:
    """Wait for a moment in a driver's life."""
    deadline = time.monotonic() + DEADLINE
    while not done():
        assert running.is_alive(), log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)


def look_at_what_is_there(cli: RunCli, place: Place, cwd: Path) -> None:
    """See how an interrupted step is told of, and that nobody takes it for a finished one."""
    run = ("--run", Location.of(place.root) / "run")
    begun = datetime.fromisoformat(
        json.loads(place.at("extract/begun.json").read_text())["created"]
    )
    own = [shard for shard in place.committed() if shard.mtime >= begun]
    result = cli("status", *run, "--json", cwd=cwd)
    assert result.returncode == 0, result.stderr
    states = {state["name"]: state for state in json.loads(result.stdout)}
    assert states["extract"]["state"] == "partial"
    progress = states["extract"]["progress"]
    assert progress["shards"] > 0
    assert progress["shards"] + progress["shards_left"] == SHARDS
    assert progress["images"] + progress["images_left"] == IMAGES
    # All may be of workers of the driver before, which went on for a moment.
    assert progress["rate"] > 0 or not own
    result = cli("cluster", *run, cwd=cwd)
    assert result.returncode == 4
    assert "step extract is not finished" in result.stderr


# -- kills ----------------------------------------------------------------------------------------


@pytest.mark.timeout(600)
def test_dead_drivers_and_dead_workers(
    place, start, cluster, weights, undisturbed, cli, tmp_path
) -> None:
    draw = random.Random(3)
    log = tmp_path / "log"
    words = command(place, weights, SHARD, cluster.address)
    drivers, others = (2, 1) if "://" in place.root else (5, 3)
    moments = sorted(draw.sample(range(1, SHARDS * 3 // 4), drivers + others))
    for moment in moments[:drivers]:
        # Workers of the last driver may have gone on for a moment: each driver gets its own.
        goal = max(moment, place.done() + 1)
        running = start(*words, log=log)
        wait_until(lambda at=goal: place.done() >= at, running, log)
        kill_driver(running)
        assert not place.at("extract/manifest.json").exists()
    look_at_what_is_there(cli, place, tmp_path)
    running = start(*words, "--json", log=log)
    for moment in moments[drivers:]:
        wait_until(lambda at=moment: place.done() >= at and bool(workers(cluster)), running, log)
        draw.choice(workers(cluster)).kill()
    running.join(DEADLINE)
    assert running.exitcode == 0, log.read_text()
    assert rows(place) == undisturbed
    manifest = json.loads(place.at("extract/manifest.json").read_text())
    assert manifest["counts"]["maps"] == undisturbed["maps"][0]
    assert manifest["counts"]["rejects"] == REPEATS


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_a_node_that_is_lost_in_the_middle(
    start, cluster, weights, undisturbed, folder, tmp_path
) -> None:
    place = Place(str(tmp_path), str(folder / "list.csv"))
    node = cluster.add_node(num_cpus=1)
    log = tmp_path / "log"
    running = start(*command(place, weights, SHARD, cluster.address), log=log)
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    wait_until(lambda: place.done() >= SHARDS // 4, running, log)
    assert any("MapWorker" in child.cmdline()[0] for child in raylet.children(recursive=True))
    cluster.remove_node(node, allow_graceful=False)
    running.join(DEADLINE)
    assert running.exitcode == 0, log.read_text()
    assert rows(place) == undisturbed


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_with_gpus_tasks_decode_and_the_rows_are_the_same(
    start, cluster, weights, undisturbed, folder, tmp_path
) -> None:
    """There is a GPU for Ray alone: the network computes on a CPU, by the way of a GPU's."""
    place = Place(str(tmp_path), str(folder / "list.csv"))
    node = cluster.add_node(num_cpus=1, num_gpus=1)
    log = tmp_path / "log"
    running = start(*command(place, weights, SHARD, cluster.address), log=log)
    seen: set[str] = set()
    while running.is_alive():
        below = psutil.Process(node.all_processes["raylet"][0].process.pid).children(recursive=True)
        for child in below:
            with suppress(psutil.NoSuchProcess):  # it may end between two looks
                seen.add(" ".join(child.cmdline()))
        running.join(0.1)
    assert running.exitcode == 0, log.read_text()
    cluster.remove_node(node)
    assert any("MapWorker" in words for words in seen), "the network's actor is where the GPU is"
    assert rows(place) == undisturbed
