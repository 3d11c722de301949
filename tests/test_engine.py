"""Joining and starting Ray, and the two shapes of work, on one small local cluster."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import ray
from PIL import Image

from raypipe.config import EngineConfig
from raypipe.engine import Engine, ShardWorker, connected
from raypipe.errors import (
    ClusterUnavailableError,
    ConfigError,
    InputError,
    LabelError,
    RaypipeError,
)
from raypipe.loading.shard import DecodedShard, ReadShard
from raypipe.tables import IMAGES

CPUS = 2


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """Start a cluster as a user's own program would, and join it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("RAY_ADDRESS", "RAYPIPE_ENGINE__ADDRESS"):
            patch.delenv(name, raising=False)
        with connected(EngineConfig(address="local", cpus=CPUS)) as started:
            yield started
        assert not ray.is_initialized(), "what was started here is stopped"


# -- tasks ----------------------------------------------------------------------------------------


def double(item: int, *shared: int) -> int:
    return 2 * item + sum(shared)


def refuse(item: int) -> int:
    if item == 3:
        raise LabelError(f"item {item} is bad", "leave it out")
    return item


def stumble(item: int) -> int:
    raise KeyError(f"bug at {item}")


def deep(item: int) -> int:
    """Raise one of our errors from within a task of a task."""
    return ray.get(ray.remote(num_cpus=0)(refuse).remote(item))


class Drawn(Sequence[int]):
    """Numbers that count how many of them were taken."""

    def __init__(self, count: int) -> None:
        self._count, self.taken = count, 0

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, at: Any) -> Any:
        if at >= self._count:
            raise IndexError(at)
        self.taken += 1
        return at


def test_every_item_comes_back_once_with_its_result(engine) -> None:
    found = list(engine.tasks(double, range(40), 100, 1000, cpus=0.1))
    assert len(found) == 40
    assert dict(found) == {item: 2 * item + 1100 for item in range(40)}
    assert list(engine.tasks(double, [])) == []


def test_the_work_in_flight_is_bounded(engine) -> None:
    items = Drawn(50)
    results = engine.tasks(double, items, cpus=0.1)
    assert items.taken == 0, "nothing starts before somebody asks"
    for done in range(1, 51):
        next(results)
        assert items.taken <= done + 2 * CPUS
    assert items.taken == 50
    assert next(results, None) is None


def test_our_errors_come_back_as_themselves(engine) -> None:
    for function in (refuse, deep):
        with pytest.raises(LabelError) as caught:
            list(engine.tasks(function, range(6), cpus=0.1))
        assert (caught.value.message, caught.value.remedy) == ("item 3 is bad", "leave it out")
        assert caught.value.exit_code == 4
        assert caught.value.__cause__ is None


def test_a_bug_stays_a_bug(engine) -> None:
    with pytest.raises(KeyError, match="bug at 1") as caught:
        list(engine.tasks(stumble, [1]))
    assert not isinstance(caught.value, RaypipeError)


def test_a_task_that_wants_more_cpus_than_there_are_still_runs(engine) -> None:
    assert list(engine.tasks(double, [4], cpus=64)) == [(4, 8)]


# -- shards ---------------------------------------------------------------------------------------


class Counter(ShardWorker):
    """Writes down which images of a shard it saw."""

    def __init__(self, context: Path) -> None:
        self._folder = context

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        shard = DecodedShard.from_row(row)
        if shard.name == "bad":
            raise InputError("a bad shard", "mend it")
        seen = {"images": [image.image_id for image in shard.images],
                "rejects": [reject.reason for reject in shard.rejects],
                "shape": shard.pixels.shape}  # fmt: skip
        with (self._folder / shard.name).open("a") as file:
            file.write(json.dumps(seen) + "\n")
        return {"images": len(shard.images) + len(shard.rejects)}


def index(folder: Path, shards: dict[str, int]):
    rows = []
    for shard, count in shards.items():
        for at in range(count):
            path = folder / f"{shard}-{at}.png"
            Image.new("RGB", (8, 8)).save(path)
            rows.append({"image_id": path.name, "uri": str(path), "classes": [], "ordinals": [],
                         "mask_uri": None, "shard": shard})  # fmt: skip
    return IMAGES.build(rows)


def test_every_shard_that_is_not_done_is_worked_on_once(engine, tmp_path) -> None:
    images = index(tmp_path, {"s1": 3, "s2": 1, "s3": 2, "s4": 2})
    (tmp_path / "s3-1.png").write_bytes(b"")
    out = tmp_path / "out"
    out.mkdir()
    engine.shards("counting", images, {"s2"}, ReadShard(16, 1000), Counter, out)
    seen = {path.name: path.read_text().splitlines() for path in out.iterdir()}
    assert set(seen) == {"s1", "s3", "s4"}
    assert all(len(lines) == 1 for lines in seen.values())
    assert json.loads(seen["s1"][0]) == {
        "images": ["s1-0.png", "s1-1.png", "s1-2.png"], "rejects": [], "shape": [3, 16, 16, 3],
    }  # fmt: skip
    assert json.loads(seen["s3"][0])["rejects"] == ["empty"]


def test_nothing_left_needs_no_worker(engine, tmp_path) -> None:
    images = index(tmp_path, {"s1": 1})
    engine.shards("counting", images, {"s1"}, ReadShard(16, 1000), Counter, tmp_path / "no")


def test_an_error_of_a_worker_keeps_its_remedy(engine, tmp_path) -> None:
    images = index(tmp_path, {"bad": 1})
    with pytest.raises(InputError, match="a bad shard") as caught:
        engine.shards("counting", images, (), ReadShard(16, 1000), Counter, tmp_path)
    assert caught.value.remedy == "mend it"


class Unbuildable(Counter):
    """Cannot find what it needs on its machine."""

    def __init__(self, context: Path) -> None:
        raise ConfigError("no weights here", "put them there")


def test_an_error_while_a_worker_is_built_keeps_its_remedy(engine, tmp_path) -> None:
    images = index(tmp_path, {"s1": 1})
    with pytest.raises(ConfigError, match="no weights here") as caught:
        engine.shards("counting", images, (), ReadShard(16, 1000), Unbuildable, tmp_path)
    assert (caught.value.remedy, caught.value.exit_code) == ("put them there", 3)


# -- how wide -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cpus", "gpus", "config", "actors"),
    [(1, 0, {}, 1), (0.5, 0, {}, 1), (4, 0, {}, 4), (4, 0, {"actors": 3}, 3), (8, 2, {}, 2),
     (8, 2, {"gpus_per_actor": 0.5}, 4), (8, 1, {"gpus_per_actor": 2}, 1),
     (8, 2, {"gpus_per_actor": 0}, 8)],
)  # fmt: skip
def test_actors_that_fit(cpus, gpus, config, actors) -> None:
    assert Engine(cpus, gpus, EngineConfig(**config)).actors == actors


# -- connecting -----------------------------------------------------------------------------------


def test_the_local_cluster_is_as_asked(engine) -> None:
    assert engine.cpus == CPUS
    assert ray.is_initialized()


def test_a_cluster_that_was_there_is_joined_and_left_running(engine) -> None:
    for address in ("", "local"):
        with connected(EngineConfig(address=address, cpus=1)) as joined:
            assert joined.cpus == CPUS, "joined, not started"
        assert ray.is_initialized()
    with pytest.raises(ZeroDivisionError), connected(EngineConfig()):
        1 / 0  # noqa: B018
    assert list(engine.tasks(double, [1])) == [(1, 2)]


def test_an_address_that_nobody_listens_at_is_named_at_once() -> None:
    was = time.monotonic()
    with (
        pytest.raises(ClusterUnavailableError, match=r"127\.0\.0\.1:1") as caught,
        connected(EngineConfig(address="127.0.0.1:1")),
    ):
        pass
    assert "--address local" in caught.value.remedy
    assert caught.value.exit_code == 6
    assert time.monotonic() - was < 10
