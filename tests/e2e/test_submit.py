"""One job file: on this machine, on a cluster that grows, and submitted to it; on S3 throughout."""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.conftest import RunCli
from tests.e2e.autoscaling import LOOPBACK, autoscaling, command_line, free_ports, head
from tests.e2e.listed import Place, draw, rows
from tests.s3 import ELSEWHERE, ENVIRONMENT, Store

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

FILES, REPEATS, SHARD = 20, 12, 8
JOBS = Path(__file__).parents[2] / "jobs"
DEADLINE = 120.0  # seconds; nothing here should take a third of it


@pytest.fixture(scope="module")
def environment() -> Iterator[None]:
    """Credentials for the S3 server, also for the cluster that is started."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ELSEWHERE:
            patch.delenv(name, raising=False)
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        yield


@dataclass(frozen=True)
class JobHead:
    """The head of a cluster with a job server.

    Attributes:
        address: Of the job server.
        process: That started it.
    """

    address: str
    process: psutil.Process

    def drivers(self) -> list[psutil.Process]:
        """Return the processes of submitted jobs."""
        return [
            child for child in self.process.children(recursive=True)
            if command_line(child).partition(" ")[2].startswith(("-m raypipe", "jobs/"))
        ]  # fmt: skip


@pytest.fixture(scope="module")
def jobs(environment) -> Iterator[JobHead]:
    """One node: the fake provider's nodes would share the folder that a job's code is put into."""
    port, dashboard = free_ports(2)
    words = ("--num-cpus", "2", "--include-dashboard", "true", "--dashboard-host", "127.0.0.1",
             "--dashboard-port", str(dashboard))  # fmt: skip
    # Jobs find this Python, as they find the image's.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with head(port, words, {"PATH": path}, dashboard) as process:
        yield JobHead(f"http://127.0.0.1:{dashboard}", process)


@pytest.fixture(scope="module")
def folder(environment, s3_server: Store, weights, tmp_path_factory) -> Path:
    """A folder with the job files, as a clone has them, and a run file for images in a bucket."""
    root = tmp_path_factory.mktemp("clone")
    draw(root / "images", FILES, REPEATS)
    shutil.copytree(JOBS, root / "jobs")
    images = s3_server.upload(root / "images")
    (root / "job.toml").write_text(
        f"""
[dataset]
name = "manifest"
root = "s3://{images}/list.csv"
shard_size = {SHARD}
[localizer]
architecture = "toynet"
weights = "s3://{s3_server.upload(weights)}"
[extract]
dimensions = 0
[s3]
endpoint = "{s3_server.endpoint}"
"""
    )
    return root


@pytest.fixture(scope="module")
def local(process: RunCli, folder, s3_server: Store) -> dict[str, tuple[int, str]]:
    place = Place(s3_server.uri(s3_server.bucket()), "")
    result = process(
        "extract", "--config", "job.toml", "--run", place.at(""), "--address", "local", cwd=folder
    )
    assert result.returncode == 0, result.stderr
    found = rows(place)
    assert found["maps"][0] == (FILES - 1) * REPEATS
    return found


def test_the_job_file_runs_on_a_cluster_that_grows_as_here(
    local, folder, process: RunCli, s3_server: Store
) -> None:
    place = Place(s3_server.uri(s3_server.bucket()), "")
    with autoscaling(v2=True) as cluster:
        result = process(
            "extract", "--config", "job.toml", "--run", place.at(""), "--address", cluster.address,
            "--set", "engine.device=gpu", cwd=folder, **LOOPBACK,
        )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert rows(place) == local


def test_a_submitted_job_whose_driver_dies_goes_on_when_submitted_again(
    jobs, local, folder, process: RunCli, s3_server: Store
) -> None:
    place = Place(s3_server.uri(s3_server.bucket()), "")
    words = (
        "submit",
        "jobs/extract.py",
        "job.toml",
        "--run",
        place.at(""),
        "--address",
        jobs.address,
    )
    begun = process(*words, "--no-wait", cwd=folder)
    assert begun.returncode == 0, begun.stderr
    job = re.findall(r"--follow (\S+)", begun.stderr)[0]
    wait_for(lambda: place.done() > 2)
    for driver in jobs.drivers():
        driver.kill()
    followed = process("submit", "--follow", job, "--address", jobs.address, cwd=folder)
    assert followed.returncode != 0
    assert place.done() > 2, followed.stdout
    assert 2 < place.done() < FILES * REPEATS // SHARD, "in the middle"

    again = process(*words, cwd=folder)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "extract: going on where it stopped" in again.stdout
    assert f"{FILES * REPEATS} images" in again.stdout
    assert rows(place) == local


def test_a_job_that_fails_gives_its_own_exit_code(jobs, folder, process: RunCli) -> None:
    result = process(
        "submit", "extract", "--dataset", "nonsense", "--run", "/nowhere/run",
        "--address", jobs.address, cwd=folder,
    )  # fmt: skip
    assert result.returncode == 3, result.stderr
    assert "nonsense" in result.stdout
    assert "ended with exit code 3" in result.stderr


@pytest.mark.parametrize(
    ("token", "reason"),
    [("", "wants a token, and there is none here"), ("0" * 32, "refuses this machine's token")],
    ids=["missing", "wrong"],
)
def test_without_the_token_nothing_is_sent(
    token, reason, jobs, folder, process: RunCli, tmp_path
) -> None:
    result = process(
        "submit", "doctor", "--address", jobs.address, cwd=folder,
        HOME=str(tmp_path), RAY_AUTH_TOKEN=token,
    )  # fmt: skip
    assert result.returncode == 6
    assert reason in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) == 2


def test_a_job_that_nobody_knows(jobs, folder, process: RunCli) -> None:
    result = process("submit", "--follow", "nobody", "--address", jobs.address, cwd=folder)
    assert result.returncode == 4
    assert "has no job nobody" in result.stderr


def wait_for(done) -> None:
    deadline = time.monotonic() + DEADLINE
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)
