"""How wide a pool of actors is, and what is said while it waits for the cluster. Starts no Ray."""

from __future__ import annotations

import re
import time

import pytest

from raypipe.config import EngineConfig
from raypipe.engine import waiting
from raypipe.engine.capacity import Capacity, Pool
from raypipe.engine.waiting import telling, waiting_line
from raypipe.progress import Tracker

# -- how wide -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cpus", "gpus", "config", "on_gpu", "actors"),
    [(1, 0, {}, False, 1), (0.5, 0, {}, False, 1), (4, 0, {}, False, 4), (8, 2, {}, True, 2),
     (4, 0, {"cpus_per_actor": 2}, False, 2), (3, 0, {"cpus_per_actor": 2}, False, 1),
     (1, 0, {"cpus_per_actor": 4}, False, 1), (8, 1, {"cpus_per_actor": 2}, True, 1),
     (8, 2, {"gpus_per_actor": 0.5}, True, 4), (8, 1, {"gpus_per_actor": 2}, True, 0),
     (8, 0, {}, True, 0), (0, 0, {}, False, 0), (8, 2, {}, False, 8)],
)  # fmt: skip
def test_actors_that_fit(cpus, gpus, config, on_gpu, actors) -> None:
    assert Capacity(cpus, gpus, 0).actors(EngineConfig(**config), on_gpu=on_gpu) == actors


@pytest.mark.parametrize(
    ("config", "fitting", "shards", "on_gpu", "pool"),
    [  # where nothing can grow: what fits, one call at a time where each has little to do
        ({}, 4, 3, False, Pool(3, 3, 1)), ({}, 4, 16, False, Pool(4, 4, 2)),
        ({}, 4, 15, False, Pool(4, 4, 1)), ({"max_actors": 2}, 4, 100, False, Pool(2, 2, 2)),
        # auto on CPUs asks nobody for nodes, unless it is told how many; told to, it does
        ({}, 4, 100, False, Pool(4, 4, 2)), ({"max_actors": 9}, 4, 100, False, Pool(4, 9, 2)),
        ({"device": "cpu"}, 4, 100, False, Pool(4, 25, 2)),
        # GPUs: one to begin with, then as many as there is work for; or many at once
        ({}, 0, 8, True, Pool(1, 1, 4)), ({}, 0, 1000, True, Pool(1, 125, 4)),
        ({"min_actors": 16}, 0, 1000, True, Pool(16, 125, 4)),
        ({"min_actors": 16, "max_actors": 16}, 4, 1000, True, Pool(16, 16, 4)),
        ({"min_actors": 16, "max_actors": 8}, 0, 1000, True, Pool(8, 8, 4)),
        ({"min_actors": 16}, 0, 3, True, Pool(3, 3, 1)),
    ],
)  # fmt: skip
def test_a_pool_is_as_wide_as_cluster_work_and_settings_allow(
    config, fitting, shards, on_gpu, pool
) -> None:
    assert Pool.of(EngineConfig(**config), fitting, shards, on_gpu=on_gpu) == pool


# -- waiting --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("capacity", "seconds", "on_gpu", "line"),
    [(Capacity(4, 0, 0), 40, True, "waiting for GPUs.*none yet .00:40.*engine.device=cpu"),
     (Capacity(0, 0, 0), 70, False, "waiting for CPUs.*none yet .01:10"),
     (Capacity(4, 2, 0), 40, True, "^$"), (Capacity(4, 0, 0), 40, False, "^$"),
     (Capacity(4, 2, 0), 3600, True, "nothing finished for 60:00.*4 CPUs and 2 GPUs")],
)  # fmt: skip
def test_what_is_missing_is_said(capacity, seconds, on_gpu, line) -> None:
    assert re.search(line, waiting_line("extracting", capacity, seconds, on_gpu=on_gpu))


def test_waiting_is_told_of_once_a_minute(monkeypatch, capsys) -> None:
    for name, value in (("_LOOK_EVERY", 0.01), ("_FIRST_AFTER", 0.05), ("_AGAIN_AFTER", 60.0)):
        monkeypatch.setattr(waiting, name, value)
    tracker = Tracker("extracting", 2, "images", None)
    with telling("extracting", tracker, on_gpu=True, present=lambda: Capacity(1, 0, 0)):
        deadline = time.monotonic() + 10
        seen = ""
        while "waiting for GPUs" not in seen and time.monotonic() < deadline:
            time.sleep(0.02)
            seen += capsys.readouterr().err
        assert seen.count("waiting for GPUs") == 1
        time.sleep(0.2)
        assert "waiting" not in capsys.readouterr().err, "once a minute, not all the time"
