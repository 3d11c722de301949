"""Joining and starting Ray, and the two shapes of work, on one small local cluster."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import ray
import torch
from PIL import Image

from raypipe.config import EngineConfig
from raypipe.engine import Engine, Failed, Needs, ShardWorker, connect, connected
from raypipe.engine.capacity import Capacity
from raypipe.engine.tries import counting
from raypipe.engine.workers import Guarded, Reading
from raypipe.errors import (
    ClusterUnavailableError,
    ConfigError,
    InputError,
    LabelError,
    MissingError,
    RaypipeError,
    from_json,
)
from raypipe.loading.shard import DecodedShard, ReadShard, commit_shard
from raypipe.storage.commit import Output, ShardCommit
from raypipe.storage.images import ShardReader, read_shards
from raypipe.storage.run import Plan, Run
from raypipe.tables import EMBEDDINGS
from tests.indexed import PART, write_index

CPUS = 2
THREADS = torch.get_num_threads()  # of this process, which other tests use, too


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


def small(item: int) -> Needs:
    return Needs(cpus=0.1)


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
    found = list(engine.tasks(double, range(40), 100, 1000, needs=small))
    assert len(found) == 40
    assert dict(found) == {item: 2 * item + 1100 for item in range(40)}
    assert list(engine.tasks(double, [])) == []


def test_the_work_in_flight_is_bounded(engine) -> None:
    items = Drawn(50)
    results = engine.tasks(double, items, needs=small)
    assert items.taken == 0, "nothing starts before somebody asks"
    for done in range(1, 51):
        next(results)
        assert items.taken <= done + 2 * CPUS
    assert items.taken == 50
    assert next(results, None) is None


def test_our_errors_come_back_as_themselves(engine) -> None:
    for function in (refuse, deep):
        with pytest.raises(LabelError) as caught:
            list(engine.tasks(function, range(6), needs=small))
        assert (caught.value.message, caught.value.remedy) == ("item 3 is bad", "leave it out")
        assert caught.value.exit_code == 4
        assert caught.value.__cause__ is None


def test_a_bug_stays_a_bug(engine) -> None:
    with pytest.raises(KeyError, match="bug at 1") as caught:
        list(engine.tasks(stumble, [1]))
    assert not isinstance(caught.value, RaypipeError)


def test_a_task_that_wants_more_cpus_than_there_are_still_runs(engine) -> None:
    assert list(engine.tasks(double, [4], needs=lambda item: Needs(64, 1, 1 << 60))) == [(4, 8)]


def vanish(item: int) -> int:
    if item == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def test_isolated_failures_name_their_reason_and_stop_nobody_else(engine) -> None:
    assert dict(engine.tasks(refuse, range(5), needs=small, isolated=True)) == {
        0: 0, 1: 1, 2: 2, 3: Failed("item 3 is bad"), 4: 4
    }  # fmt: skip
    assert dict(engine.tasks(stumble, [7], isolated=True)) == {7: Failed("KeyError: 'bug at 7'")}
    found = dict(engine.tasks(vanish, range(4), needs=small, isolated=True))
    assert [found[item] for item in (0, 1, 3)] == [0, 1, 3]
    assert "WorkerCrashed" in found[2].reason


# -- shards ---------------------------------------------------------------------------------------


class Widths(ShardWorker):
    """Commits the width of each image, and writes down which shards it was given."""

    def __init__(self, context: ShardCommit) -> None:
        self._commit = context

    def __call__(self, shard: DecodedShard) -> None:
        if shard.name == "bad":
            raise InputError("a bad shard", "mend it")
        with Path(self._commit.run.root.path, "calls").open("a") as file:
            file.write(f"{shard.name} {','.join(sorted(shard.image_ids))}\n")
        rows = [{"image_id": image.image_id, "embedding": [image.width]} for image in shard.images]
        commit_shard(self._commit, shard, shard.rejects, EMBEDDINGS.build(rows))


class Unbuildable(Widths):
    """Cannot find what it needs on its machine."""

    def __init__(self, context: ShardCommit) -> None:
        raise ConfigError("no weights here", "put them there")


@dataclass
class World:
    """An indexed set, and what is committed of it."""

    folder: Path
    shards: pa.Table
    commit: ShardCommit
    read: ReadShard

    def do(self, shard: str) -> None:
        """Work on a shard here, before the engine does."""
        Widths(self.commit)(self.read.decoded({"shard": shard, "part": PART}))
        self.calls()

    def calls(self) -> list[str]:
        """Return which shards were worked on since the last look, and the images of each."""
        place = self.folder / "run" / "calls"
        lines = place.read_text().splitlines() if place.exists() else []
        place.write_text("")
        return sorted(lines)

    def drawn(self, name: str, width: int = 8) -> None:
        Image.new("RGB", (width, 8)).save(self.folder / name)

    def widths(self) -> dict[str, float]:
        table = pa.concat_tables(self.commit.parts(EMBEDDINGS).read(EMBEDDINGS))
        return {row["image_id"]: row["embedding"][0] for row in table.to_pylist()}


@pytest.fixture
def world(tmp_path) -> Callable[..., World]:
    """Index shards of images that are so wide; one of width 0 is not there."""

    def make(**shards: tuple[int, ...]) -> World:
        run = Run.at(str(tmp_path / "run"))
        rows = [{"image_id": f"{shard}-{at}", "uri": str(tmp_path / f"{shard}-{at}.png"),
                 "classes": [], "ordinals": [], "mask_uri": None, "shard": shard}
                for shard, widths in shards.items() for at in range(len(widths))]  # fmt: skip
        write_index(run, "train", rows)
        commit = ShardCommit(run, Plan("fit", {}, {}), (Output(EMBEDDINGS, ("image_id",)),))
        read = ReadShard(ShardReader.of(run, "train"), 16, 1000)
        made = World(tmp_path, read_shards(run, "train"), commit, read)
        for shard, widths in shards.items():
            for at, width in enumerate(widths):
                if width:
                    made.drawn(f"{shard}-{at}.png", width)
        return made

    return make


def run_shards(engine: Engine, world: World, worker: type[ShardWorker] = Widths, **more) -> None:
    engine.shards("measuring", world.shards, world.commit, world.read, worker, world.commit, **more)


def test_every_shard_that_is_not_done_is_worked_on_once(engine, world) -> None:
    made = world(s1=(5, 6, 7), s2=(8, 0), s3=(0, 9), s4=(4,))
    made.do("s2")
    made.drawn("s2-1.png")  # it is there now, but nobody asked for a retry
    run_shards(engine, made)
    assert made.calls() == ["s1 s1-0,s1-1,s1-2", "s3 s3-0,s3-1", "s4 s4-0"]
    assert made.widths() == {"s1-0": 5, "s1-1": 6, "s1-2": 7, "s2-0": 8, "s3-1": 9, "s4-0": 4}
    assert sorted(made.commit.rejected()["image_id"].to_pylist()) == ["s2-1", "s3-0"]


def test_a_retry_works_on_the_rejects_of_committed_shards_only(engine, world) -> None:
    made = world(s1=(5, 0, 0), s2=(6,), s3=(0, 7))
    made.do("s1")
    made.do("s2")
    made.drawn("s1-1.png", 3)
    run_shards(engine, made, retry=True)
    # s2 has no rejects; those of s3 were found by the same command, a moment ago.
    assert made.calls() == ["s1 s1-1,s1-2", "s3 s3-0,s3-1"]
    assert made.widths() == {"s1-0": 5, "s1-1": 3, "s2-0": 6, "s3-1": 7}
    assert sorted(made.commit.rejected()["image_id"].to_pylist()) == ["s1-2", "s3-0"]


class Mortal(Widths):
    """Dies with its process at the first shard that it begins, once."""

    def __call__(self, shard: DecodedShard) -> None:
        mark = Path(self._commit.run.root.path) / "died"
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        super().__call__(shard)


def test_shards_that_are_begun_again_are_counted(engine, world) -> None:
    made = world(s1=(5, 9), s2=(7,))
    engine.tally.clear()
    run_shards(engine, made, Mortal)
    assert 1 <= engine.tally["retries"] <= 2, "the other shard may have been begun, too"
    assert len(made.widths()) == 3


def test_nothing_left_needs_no_worker(engine, world) -> None:
    made = world(s1=(5, 6))
    made.do("s1")
    run_shards(engine, made, Unbuildable)
    run_shards(engine, made, Unbuildable, retry=True)


def test_an_error_of_a_worker_keeps_its_remedy(engine, world) -> None:
    with pytest.raises(InputError, match="a bad shard") as caught:
        run_shards(engine, world(bad=(5,)))
    assert caught.value.remedy == "mend it"


def test_an_error_while_a_worker_is_built_keeps_its_remedy(engine, world) -> None:
    with pytest.raises(ConfigError, match="no weights here") as caught:
        run_shards(engine, world(s1=(5,)), Unbuildable)
    assert (caught.value.remedy, caught.value.exit_code) == ("put them there", 3)


def test_an_error_of_a_reader_keeps_its_remedy(engine, world) -> None:
    made = world(s1=(5,))
    made.read.images.parts.place(PART).delete()
    with pytest.raises(MissingError, match=f"{PART}.*: not found") as caught:
        run_shards(engine, made)
    assert caught.value.remedy == "check the path"


# For GPUs, tasks read and actors compute; between them a shard is a row.


def row_of(shard: str) -> dict[str, str]:
    return {"shard": shard, "part": PART}


ABOUT = ("run", "step")


def test_a_shard_that_a_task_decoded_is_the_same_shard(engine, world) -> None:
    made = world(s1=(5, 0, 7))
    row = Reading(made.read, ABOUT)(row_of("s1"))
    assert set(row) == {"shard", "facts", "pixels", "error"}
    done = Guarded(Widths, made.commit, None, THREADS, ABOUT, counting())(row)
    assert (done["shard"], done["images"], done["rejects"], done["error"]) == ("s1", 3, 1, "")
    assert made.widths() == {"s1-0": 5, "s1-2": 7}
    assert made.commit.rejected()["image_id"].to_pylist() == ["s1-1"]


def test_an_error_of_a_task_goes_past_the_network(engine, world) -> None:
    made = world(s1=(5,))
    made.read.images.parts.place(PART).delete()
    row = Reading(made.read, ABOUT)(row_of("s1"))
    summary = Guarded(Widths, made.commit, None, THREADS, ABOUT, counting())(row)
    assert made.calls() == []
    error = from_json(summary["error"])
    assert isinstance(error, MissingError)
    assert error.remedy == "check the path"


# -- connecting -----------------------------------------------------------------------------------


def test_the_local_cluster_is_as_asked(engine) -> None:
    assert Capacity.now().cpus == CPUS
    assert (engine.actors, engine.on_gpu) == (CPUS, False)
    assert ray.is_initialized()


def test_a_cluster_that_was_there_is_joined_and_left_running(engine) -> None:
    for address in ("", "local"):
        with connected(EngineConfig(address=address, cpus=1)) as joined:
            assert joined.actors == CPUS, "joined, not started"
        assert ray.is_initialized()
    with pytest.raises(ZeroDivisionError), connected(EngineConfig()):
        1 / 0  # noqa: B018
    assert list(engine.tasks(double, [1])) == [(1, 2)]


def test_gpus_are_waited_for_only_where_they_can_come(engine) -> None:
    with connected(EngineConfig(device="gpu")) as joined:  # nodes may join a cluster
        assert joined.on_gpu
        assert joined.actors == 0
    with pytest.raises(ConfigError, match="this machine has no GPU") as caught:
        connect._engine(EngineConfig(device="gpu"), local=True)  # as if it had been started here
    assert "engine.device = cpu" in caught.value.remedy


def test_rays_client_is_told_to_submit_instead() -> None:
    with (
        pytest.raises(ClusterUnavailableError, match="ray://head:10001") as caught,
        connected(EngineConfig(address="ray://head:10001")),
    ):
        pass
    assert "raypipe submit" in caught.value.remedy


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
