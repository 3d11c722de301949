"""What is sent with a job, and addresses that are no job server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from raypipe.cloud.pack import LARGEST, environment, package
from raypipe.errors import ConfigError, InputError, UsageError
from tests.conftest import RunCli

RUN = ("--run", "s3://bucket/run")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/job.toml").write_text(
        '[dataset]\nname = "voc"\nclass_file = "lists/classes.txt"\n'
        '[localizer]\nweights = "IMAGENET1K_V2"\n'
    )
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/classes.txt").write_text("boat\n")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/boat.jpg").write_bytes(b"picture")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/secret.txt").write_text("not sent")
    return tmp_path


def sent(words: tuple[str, ...], folder: Path) -> set[str]:
    return {name for name in package(words, folder).files if not name.startswith("raypipe/")}


def test_a_run_file_goes_with_the_small_files_that_it_names(folder) -> None:
    found = package(("jobs/job.toml", *RUN), folder)
    assert found.words == ("python", "-m", "raypipe", "run", "jobs/job.toml", *RUN)
    assert sent(("jobs/job.toml", *RUN), folder) == {"jobs/job.toml", "lists/classes.txt"}
    assert {"raypipe/cli/submit.py", "raypipe/annotate/templates/class.js"} <= set(found.files)
    assert found.size < 5_000_000


def test_what_is_written_is_what_was_there(folder, tmp_path_factory) -> None:
    target = tmp_path_factory.mktemp("job")
    package(("extract", "--config", "jobs/job.toml", *RUN), folder).write(target)
    assert (target / "lists/classes.txt").read_text() == "boat\n"
    assert (target / "raypipe/__init__.py").exists()
    assert not list(target.rglob("*.pyc"))


def test_a_python_file_is_called_with_its_arguments(folder) -> None:
    (folder / "jobs/own.py").write_text("pass")
    found = package(("jobs/own.py", "jobs/job.toml", *RUN), folder)
    assert found.words == ("python", "jobs/own.py", "jobs/job.toml", *RUN)
    assert "jobs/own.py" in found.files


def test_a_flag_wins_over_the_run_file(folder) -> None:
    (folder / "job.toml").write_text('[dataset]\nname = "imagefolder"\nroot = "photos"\n')
    over = ("--set", 'dataset.root="s3://bucket/photos"')
    assert sent(("job.toml", *RUN, *over), folder) == {"job.toml"}


def test_images_of_this_machine_are_refused(folder) -> None:
    with pytest.raises(InputError, match="photos: a folder of this machine"):
        package(("extract", "--dataset", "imagefolder", "--root", "photos", *RUN), folder)


def test_large_files_are_refused(folder) -> None:
    (folder / "net.pth").write_bytes(bytes(LARGEST + 1))
    with pytest.raises(InputError, match=r"net.pth: 1 MB, and only files up to 1 MB") as caught:
        package(("extract", "--weights", "net.pth", *RUN), folder)
    assert "s3://" in caught.value.remedy


@pytest.mark.parametrize(
    "words", [("extract",), ("extract", "--run", "runs/x"), ("jobs/job.toml",)]
)
def test_a_run_on_the_heads_own_disk_is_refused(words, folder, monkeypatch) -> None:
    monkeypatch.delenv("RAYPIPE_RUN", raising=False)
    with pytest.raises(ConfigError, match="job's own folder on the head") as caught:
        package(words, folder)
    assert "s3://" in caught.value.remedy


def test_a_path_outside_is_said_to_be_needed_there(folder) -> None:
    found = package(("extract", "--root", "/data/imagenet", *RUN), folder)
    assert found.remarks == ("/data/imagenet is not sent: every node must have it at this path",)


def test_a_missing_job_is_named(folder) -> None:
    with pytest.raises(InputError, match="other.toml: there is no such file"):
        package(("other.toml", *RUN), folder)


@pytest.mark.parametrize("words", [(), ("annotate", *RUN), ("submit", "x")])
def test_what_is_no_job_is_refused(words, folder) -> None:
    with pytest.raises(UsageError):
        package(words, folder)


def test_variables_of_raypipe_go_along_and_no_credentials(monkeypatch) -> None:
    monkeypatch.setenv("RAYPIPE_ROOT_VOC", "s3://bucket/voc")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert environment()["RAYPIPE_ROOT_VOC"] == "s3://bucket/voc"
    assert all(name.startswith("RAYPIPE_") for name in environment())


# -- addresses ------------------------------------------------------------------------------------


@contextmanager
def answering(status: int, body: str) -> Iterator[str]:
    """Be a server that gives one answer to everything: the other side, as it may be."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, json.dumps({"version": "4", "ray_version": "2.9.0"}), "the cluster runs Ray 2.9.0"),
        (200, "<html>a router</html>", "not a Ray dashboard"),
        (200, "[]", "not a Ray dashboard"),
        (404, "", "not a Ray dashboard (it answers 404)"),
        (401, "", "it wants a token, and there is none here"),
    ],
)
def test_an_address_that_is_no_fitting_cluster(status, body, said, process: RunCli, folder) -> None:
    with answering(status, body) as address:
        result = process("submit", "doctor", "--address", address, cwd=folder,
                         RAY_AUTH_TOKEN="", HOME=str(folder))  # fmt: skip
    assert result.returncode == 6, result.stderr
    assert said in result.stderr
    assert "  try: " in result.stderr
    assert len(result.stderr.splitlines()) == 2


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "ray://127.0.0.1:10001", "nowhere"])
def test_an_address_that_does_not_answer(address, process: RunCli, folder) -> None:
    result = process("submit", "doctor", "--address", address, cwd=folder)
    assert result.returncode == 6, result.stderr
    assert address in result.stderr
    assert len(result.stderr.splitlines()) == 2
