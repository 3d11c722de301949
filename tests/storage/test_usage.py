"""What a step used is written down while it runs, and added up over attempts."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from raypipe.bill import bill
from raypipe.cloud import prices
from raypipe.engine.nodes import Node, _node
from raypipe.storage import usage
from raypipe.storage.run import Run
from tests.conftest import RunCli

HEAD = Node("a", alive=True, lost=False, machine="m6i.2xlarge", market="on-demand", cpus=0, gpus=0)
GPU = Node("b", alive=True, lost=False, machine="g6.4xlarge", market="spot", cpus=16, gpus=1)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.at(str(tmp_path / "run"))


def write(run: Run, number: int, **changes: object) -> None:
    """Write the account of an attempt, as one that took an hour would."""
    kinds = [usage.Kind(n.machine, n.market, n.cpus, n.gpus, 3600.0) for n in (HEAD, GPU)]
    attempt = usage.Attempt("extract", f"2026-01-01T00:0{number}:00+00:00", 3600.0, True, kinds)
    place = run.root / "usage" / "extract" / f"{number}.json"
    place.write_bytes(json.dumps(asdict(replace(attempt, **changes))).encode())


def test_nodes_are_counted_while_they_are_there(run, monkeypatch) -> None:
    monkeypatch.setattr(usage, "_LOOK_EVERY", 0.01)
    present, looks = [HEAD, GPU, replace(GPU, id="c")], threading.Semaphore(0)

    def nodes() -> list[Node]:
        looks.release()
        return list(present)

    with usage.recording(run, "refine/val", nodes, {"retries": 3}):
        for look in range(30):
            assert looks.acquire(timeout=10)
            if look == 15:
                present[2] = replace(GPU, id="c", alive=False, lost=True)
    (attempt,) = usage.attempts(run)
    assert attempt.finished
    assert (attempt.step, attempt.lost, attempt.retries) == ("refine/val", 1, 3)
    head, gpu = sorted(attempt.kinds, key=lambda kind: kind.gpus)
    assert head.seconds < gpu.seconds <= 2 * head.seconds + 0.1
    assert attempt.present == {"nodes": 2, "cpus": 16, "gpus": 1}


def test_a_step_that_fails_is_accounted_for(run) -> None:
    with pytest.raises(ValueError, match="of the step"), usage.recording(run, "x", list, {}):
        raise ValueError("of the step")
    assert usage.attempts(run)[0].finished


def test_a_cluster_that_cannot_be_asked_does_not_end_the_work(run) -> None:
    def nodes() -> list[Node]:
        raise ConnectionError

    with usage.recording(run, "x", nodes, {}):
        pass
    assert usage.attempts(run)[0].kinds == []


def test_the_bill_adds_attempts_up_and_names_what_has_no_price(run) -> None:
    write(run, 1, finished=False, lost=1)
    write(run, 2, retries=2)
    write(run, 3, kinds=[usage.Kind("8 CPUs", "", 8, 0, 7200.0)])
    table = prices.load(None)
    found = bill(run, table)
    (step,) = found.steps
    assert (step.attempts, step.retries, step.lost) == (3, 2, 1)
    assert (step.node_hours, step.gpu_hours) == (6.0, 2.0)
    hour = table.hour("m6i.2xlarge", spot=False, disk=0) + table.hour(
        "g6.4xlarge", spot=True, disk=0
    )
    assert found.dollars == pytest.approx(2 * hour)
    assert found.unknown == ["8 CPUs"]
    assert found.unfinished == 1


def test_report_in_words_and_as_json(run, cli: RunCli, tmp_path) -> None:
    write(run, 1)
    result = cli("report", "--run", "run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "g6.4xlarge (spot): 1.00 node hours, $" in result.stdout
    assert "as we knew them" in result.stdout
    found = json.loads(cli("report", "--run", "run", "--json", cwd=tmp_path).stdout)
    assert found["node_hours"] == 2.0
    assert found["steps"][0]["step"] == "extract"


def test_a_run_without_any_account(cli: RunCli, tmp_path) -> None:
    (tmp_path / "run").mkdir()
    result = cli("report", "--run", "run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("labels", "machine", "market"),
    [
        ({}, "16 CPUs, 1 GPUs", ""),
        ({"ray.io/node-group": "gpu.spot"}, "gpu.spot", ""),
        ({"ray.io/node-group": "gpu.spot", "raypipe.io/machine": "g6.4xlarge",
          "ray.io/market-type": "spot"}, "g6.4xlarge", "spot"),
    ],
)  # fmt: skip
def test_a_node_is_called_by_what_is_known_of_it(labels, machine, market) -> None:
    node = _node({"NodeID": "a", "Alive": True, "Resources": {"CPU": 16.0, "GPU": 1.0},
                  "Labels": labels})  # fmt: skip
    assert (node.machine, node.market) == (machine, market)
