"""What all tests share: real data where it is, and the command line as a user calls it."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks import data
from raypipe.cli import main
from tests.s3 import ELSEWHERE, ENVIRONMENT, Proxy, Store, proxied, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Ray would write a token of its own into the home directory.
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(16))

# Test processes that run side by side must not take one another's clusters for one to join.
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    os.environ["RAY_TMPDIR"] = tempfile.mkdtemp(prefix=f"ray-{worker}-")

RunCli = Callable[..., subprocess.CompletedProcess[str]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the files that start clusters and wait among those that compute.

    Two processes take a file at a time: two clusters at once would want four times the cores that
    there are, and none would leave them idle.
    """
    files = list(dict.fromkeys(item.path for item in items))
    long = [file for file in files if "e2e" in file.parts]
    short = [file for file in files if "e2e" not in file.parts]
    step = -(-len(short) // max(len(long), 1))
    order = {file: (at // step, 1) for at, file in enumerate(short)}
    order |= {file: (at, 0) for at, file in enumerate(long)}
    items.sort(key=lambda item: order[item.path])


@pytest.fixture(scope="session")
def real_data() -> Path:
    place = data.data_root()
    if place is None:
        pytest.skip(
            "real images are not here: set RAYPIPE_TEST_DATA, see docs/reference/test-data.md"
        )
    return place


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunCli:
    """Run `raypipe` in this process, for speed: (arguments, cwd) to its result, never raising."""

    def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
        words = [str(argument) for argument in arguments]
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "argv", ["raypipe", *words])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        except Exception:  # noqa: BLE001 -- as the interpreter would: a traceback and 1
            traceback.print_exc()
            code = 1
        printed = capsys.readouterr()
        return subprocess.CompletedProcess(words, code, printed.out, printed.err)

    return run


@pytest.fixture(scope="session")
def process() -> RunCli:
    """Run `raypipe` in a process of its own: (arguments, cwd) to its result, never raising."""

    def run(
        *arguments: object, cwd: Path, timeout: float = 240, **env: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "raypipe", *map(str, arguments)],
            cwd=cwd,
            env=os.environ | {"COLUMNS": "120"} | env,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def s3_server() -> Iterator[Store]:
    """An S3 server; what talks to it needs the environment that `s3` sets."""
    with serving() as store:
        yield store


@pytest.fixture
def s3(s3_server: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An S3 server, and credentials for it in the environment."""
    for name in ELSEWHERE:
        monkeypatch.delenv(name, raising=False)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture
def proxy(s3: Store) -> Iterator[Proxy]:
    """A proxy in front of the S3 server, which can make trouble and counts requests."""
    with proxied(s3) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all tests; each opens contexts of its own in it."""
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("RAYPIPE_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("no Chromium: set RAYPIPE_CHROMIUM to one, or put chromium on the PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()
