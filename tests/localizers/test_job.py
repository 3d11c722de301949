"""Building a localizer elsewhere, and what its output depends on."""

from __future__ import annotations

import pickle

import numpy as np
import pyarrow as pa
import pytest

from raypipe.datasets.base import ClassRecord
from raypipe.errors import ConfigError
from raypipe.localizers.cam import Cam
from raypipe.localizers.gradcam import GradCam
from raypipe.localizers.job import LocalizerJob, identity, read_head
from raypipe.storage.run import Plan, Run
from raypipe.tables import HEAD


def test_a_job_is_small_and_builds_what_it_names(tmp_path, network, pixels) -> None:
    run = Run.at(str(tmp_path / "run"))
    for name, kind in (("cam", Cam), ("gradcam", GradCam)):
        job = LocalizerJob.of(run, network(name=name), [ClassRecord("class1")])
        sent = pickle.dumps(job)
        assert len(sent) < 10_000
        localizer = pickle.loads(sent).build()
        assert isinstance(localizer, kind)
        assert localizer.localize(pixels(1), [(0, 0)]).maps.shape == (1, 6, 6)


def test_an_unknown_localizer_names_the_nearest(network) -> None:
    with pytest.raises(ConfigError, match="unknown localizer 'gradcan'") as caught:
        LocalizerJob(network(name="gradcan"), ()).build()
    assert caught.value.remedy.startswith("did you mean gradcam?")


def test_the_head_that_fit_left_is_used(tmp_path, network) -> None:
    run = Run.at(str(tmp_path / "run"))
    assert read_head(run) is None
    weight = np.arange(1024, dtype=np.float32).reshape(2, 512)
    rows = [{"class": name, "weight": row, "bias": 0.5, "images": 3}
            for name, row in zip(("x", "y"), weight, strict=True)]  # fmt: skip
    run.write(HEAD, HEAD.build(rows), "fit", "head.parquet")
    assert read_head(run) is None, "a fit that is not finished does not count"
    run.finish(Plan("fit", {}, {}), {})
    head = read_head(run)
    assert head is not None
    assert head.classes == ("x", "y")
    np.testing.assert_array_equal(head.weight, weight)
    np.testing.assert_array_equal(head.bias, [0.5, 0.5])
    job = LocalizerJob.of(run, network(), [ClassRecord("y")])
    assert job.build().classes == ("y",)


def test_a_fit_that_had_nothing_to_learn_leaves_an_empty_head(tmp_path, network) -> None:
    run = Run.at(str(tmp_path / "run"))
    run.write(HEAD, pa.table(HEAD.build([])), "fit", "head.parquet")
    run.finish(Plan("fit", {}, {}), {})
    job = LocalizerJob.of(run, network(), [ClassRecord("class1")])
    assert job.build().classes == ("class1",)


def test_the_identity_follows_whatever_changes_a_map(network) -> None:
    first = identity(network())
    others = [network(input_size=128), network(layer="layer2"), network(name="gradcam"),
              network(precision="bfloat16"), network("mobilenet_v2")]  # fmt: skip
    found = [str(identity(other)) for other in others]
    assert len({str(first), *found}) == 6
    assert first["localizer"]["precision"] == "float32"


def test_files_count_by_content(tmp_path, network) -> None:
    paths = [tmp_path / name for name in ("a.csv", "b.csv")]
    for path in paths:
        path.write_text("class,network_class\n")
    one, two = (identity(network(mapping=str(path))) for path in paths)
    assert one == two
    paths[1].write_text("class,network_class\ncow,class1\n")
    assert identity(network(mapping=str(paths[1]))) != one


def test_automatic_precision_is_what_it_means_here(network) -> None:
    auto = identity(network(precision="auto"))["localizer"]["precision"]
    assert auto in {"float32", "bfloat16"}
    assert identity(network(precision=auto))["localizer"]["precision"] == auto
