"""What a step measures is on the cluster's Prometheus endpoint, and the dashboard asks for it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from ray.dashboard.modules.reporter.reporter_agent import METRICS_GAUGES

from raypipe.engine.measures import NAMES
from raypipe.storage.run import Run
from raypipe.storage.usage import attempts
from tests.e2e.autoscaling import LOOPBACK, free_ports, head
from tests.e2e.listed import Place, command, draw

pytestmark = pytest.mark.cluster

DASHBOARD = Path(__file__).parents[2] / "cloud/grafana/raypipe.json"
FILES, REPEATS, SHARD = 20, 6, 8
IMAGES = FILES * REPEATS
LEFT = "ray_raypipe_images_left"


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def scraped(root, weights) -> list[Sample]:
    """Extract on a cluster of one node; return all samples of its endpoint after that."""
    draw(root, FILES, REPEATS)
    place = Place(str(root), str(root / "list.csv"))
    port, endpoint = free_ports(2)
    options = ("--num-cpus", "2", "--include-dashboard", "false",
               "--metrics-export-port", str(endpoint))  # fmt: skip
    words = [*map(str, command(place, weights, SHARD, f"127.0.0.1:{port}"))]
    with head(port, options, {"RAY_metrics_report_interval_ms": "500"}, port):
        driver = subprocess.Popen(
            [sys.executable, "-m", "raypipe", *words], env=os.environ | LOOPBACK
        )
        deadline, found, gauges = time.monotonic() + 120, [], {}
        while time.monotonic() < deadline:
            with suppress(OSError):
                found = list(samples(f"http://127.0.0.1:{endpoint}/metrics"))
            # The driver's own gauge goes with the driver.
            gauges |= {item.name: item for item in found if item.name == LEFT}
            if driver.poll() is not None and total(found, "ray_raypipe_images_total") == IMAGES:
                break
            time.sleep(0.2)
        assert driver.wait() == 0
        return [*gauges.values(), *found]


def shards(root: Path) -> int:
    return Place(str(root), "").done()


def samples(url: str) -> Iterator[Sample]:
    with urllib.request.urlopen(url, timeout=10) as reply:
        for family in text_string_to_metric_families(reply.read().decode()):
            yield from family.samples


def total(found: list[Sample], name: str, **labels: str) -> float:
    return sum(
        sample.value for sample in found
        if sample.name == name and labels.items() <= sample.labels.items()
    )  # fmt: skip


def test_images_shards_and_rejects_are_counted(scraped, root) -> None:
    own = {"run": "run", "step": "extract"}
    assert total(scraped, "ray_raypipe_images_total", **own) == IMAGES
    assert total(scraped, "ray_raypipe_shards_total", **own) == shards(root)
    assert total(scraped, "ray_raypipe_rejects_total", **own) == REPEATS
    reasons = {s.labels["reason"] for s in scraped if s.name == "ray_raypipe_rejects_total"}
    assert len(reasons) == 1, "one kind of damage"


@pytest.mark.parametrize("stage", ["read", "decode", "forward", "compute", "commit"])
def test_each_stage_of_each_shard_is_timed(stage, scraped, root) -> None:
    count = total(scraped, "ray_raypipe_stage_seconds_count", stage=stage)
    assert count == shards(root)
    assert total(scraped, "ray_raypipe_stage_seconds_sum", stage=stage) > 0


def test_what_the_step_used_is_written_down(scraped, root) -> None:
    used = {attempt.step: attempt for attempt in attempts(Run.at(str(root / "run")))}
    extract = used["extract"]
    assert extract.finished
    assert (extract.lost, extract.retries) == (0, 0)
    (kind,) = extract.kinds
    assert (kind.machine, kind.cpus, kind.gpus) == ("2 CPUs", 2.0, 0.0)
    assert 0 < kind.seconds <= extract.seconds


# -- the dashboard file ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dashboard() -> dict:
    return json.loads(DASHBOARD.read_text())


def names(expression: str) -> set[str]:
    return set(re.findall(r"\bray_\w+", expression))


def test_every_expression_asks_for_what_there_is(dashboard, scraped) -> None:
    known = {sample.name for sample in scraped}
    known |= {f"ray_{name}" for name in METRICS_GAUGES}  # a machine without GPUs exports none
    asked = {
        name for panel in dashboard["panels"] for target in panel["targets"]
        for name in names(target["expr"])
    }  # fmt: skip
    assert asked - known == set()
    assert {f"ray_{name}" for name in NAMES} <= {
        re.sub("_(total|sum|count)$", "", name) for name in asked
    } | {"ray_raypipe_shards"}


def test_labels_in_expressions_are_those_of_the_metrics(dashboard, scraped) -> None:
    own = {"run", "step", "stage", "reason"}
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            if "ray_raypipe" in target["expr"]:
                assert set(re.findall(r"by \((\w+)\)", target["expr"])) <= own
    assert {"run", "step"} <= set(
        next(s.labels for s in scraped if s.name == "ray_raypipe_images_total")
    )


def test_panels_have_what_grafana_needs(dashboard) -> None:
    assert dashboard["schemaVersion"] >= 36
    assert dashboard["title"]
    assert dashboard["uid"]
    variables = {item["name"] for item in dashboard["templating"]["list"]}
    taken: set[tuple[int, int]] = set()
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids)) >= 10
    for panel in dashboard["panels"]:
        assert panel["title"]
        assert panel["type"] in {"timeseries", "stat"}
        assert panel["description"].endswith(".")
        used = set(re.findall(r"\$\{?(\w+)", json.dumps(panel)))
        assert used <= variables | {"__all"}
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
        assert not cells & taken, f"{panel['title']} lies over another panel"
        taken |= cells
