"""The benchmarks' arithmetic and options; the measurements themselves take minutes."""

from __future__ import annotations

import os
import time

import pytest

from benchmarks import extract, memory
from benchmarks.contenders_ray import _between_waves
from benchmarks.measure import Measured, MemoryWatch, Outcome, Task, steady_rate


def measured(rate: float, peak: float = 100.0) -> Measured:
    return Measured(Outcome(10, rate, "1 × 2 threads"), 5.0, peak, peak / 2, 0.0)


def test_the_rate_leaves_out_what_was_done_before_the_clock_started() -> None:
    assert steady_rate([(10.0, 32), (11.0, 8), (12.0, 8)]) == 8.0


def test_the_rate_does_not_depend_on_the_order() -> None:
    assert steady_rate([(12.0, 8), (10.0, 32), (11.0, 8)]) == 8.0


def test_the_rate_stops_before_the_tail() -> None:
    finished = [(float(at), 10) for at in range(10)] + [(100.0, 10)]
    assert steady_rate(finished, head=2, tail=1) == 10.0


def test_too_few_pieces_have_no_rate() -> None:
    with pytest.raises(ValueError, match="too few"):
        steady_rate([(1.0, 8)])


def test_shards_that_are_finished_in_waves_do_not_flatter_the_rate() -> None:
    # Four shards of 100 images every 10 seconds: 40 images a second, whatever the jitter.
    finished = [(10.0 * wave + 0.1 * at, 100) for wave in range(1, 9) for at in range(4)]
    assert _between_waves(finished, 4) == pytest.approx(40.0)
    assert steady_rate(finished) > 43


def test_a_run_of_few_shards_has_a_rate() -> None:
    finished = [(float(at), 100) for at in range(5)]
    assert _between_waves(finished, 4) == pytest.approx(100.0)


def test_the_report_holds_medians_peaks_and_ratios(monkeypatch) -> None:
    monkeypatch.setattr(extract, "machine", lambda: {"precision": "float32"})
    task = Task("resnet50", "", 224, "", 4000, 256, 20.0, 2, "")
    found = {"forward": [measured(50.0), measured(40.0), measured(100.0, 300.0)],
             "raypipe": [measured(46.0)]}  # fmt: skip
    report = extract.summary(task, found)
    assert report["images_per_second"] == {"forward": 50.0, "raypipe": 46.0}
    assert report["peak_mb"] == {"forward": 300.0, "raypipe": 100.0}
    assert report["ratios"] == {"raypipe/forward": 0.92}
    assert extract.table(report).row_count == 2
    assert any("1 × 2 threads" in line for line in extract.notes(report))


def test_memory_is_compared_between_the_smallest_and_the_largest() -> None:
    report = memory.summary({2000: measured(1.0, 100.0), 20_000: measured(1.0, 105.0)})
    assert report["ratios"]["peak_mb"] == 1.05
    assert report["peak_mb"] == {"2000": 100.0, "20000": 105.0}
    assert memory.table(report | {"network": "toynet", "input_size": 64}).row_count == 3


def test_an_unknown_contender_is_refused(capsys) -> None:
    with pytest.raises(SystemExit):
        extract.parser().parse_args(["--only", "forward,fastest"])
    assert "unknown fastest" in capsys.readouterr().err


def test_the_watch_sees_this_process() -> None:
    with MemoryWatch(os.getpid()) as watch:
        time.sleep(1.2)
    assert 0 < watch.driver_mb <= watch.peak_mb
    assert watch.object_store_mb == 0


def test_the_images_of_full_size_are_repeated(real_data, tmp_path) -> None:
    from benchmarks.data import image_tree

    root = image_tree(501, tmp_path)
    task = Task("resnet18", "", 224, str(root), 501, 8, 1.0, 1, "")
    assert len(task.paths()) == 501
    assert len({path.resolve() for path in task.paths()}) == 500
    assert {path.parent.name for path in task.paths()} <= set(task.labels())
