"""A real annotation server in a process of its own, and what talks to it as a page does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

from raypipe.annotate import flow
from raypipe.annotate.labels import clusters_of
from raypipe.config import Settings
from raypipe.storage.run import Run
from tests.annotate.browsing import draw


def sheeted(run: Run) -> Run:
    """Do the sheets step in this process: starting Ray takes longer than drawing."""
    draw(run)
    run.finish(flow.plan(run, Settings()), {"classes": len(clusters_of(run).numbers)})
    return run


@dataclass
class Served:
    """A server process.

    Attributes:
        url: Link with the token.
        process: The process.
        said: Lines of its stderr so far.
    """

    url: str
    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)

    @property
    def base(self) -> str:
        return f"http://{urlsplit(self.url).netloc}"

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0

    @contextmanager
    def client(self) -> Iterator[httpx.Client]:
        """Open the link as a page of this server."""
        headers = {"origin": self.base}
        with httpx.Client(base_url=self.base, headers=headers, timeout=20) as client:
            assert client.get(self.url).status_code == 200
            yield client

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait; return the exit code."""
        self.process.send_signal(number)
        code = self.process.wait(20)
        self._reader.join(5)
        return code

    def listen(self) -> None:
        """Collect what it says."""
        self._reader = threading.Thread(target=self._collect, daemon=True)
        self._reader.start()

    def _collect(self) -> None:
        assert self.process.stderr is not None
        self.said.extend(line.rstrip("\n") for line in self.process.stderr)


@contextmanager
def serving(run: Run, port: int = 0) -> Iterator[Served]:
    """Start `raypipe annotate`; it is killed in the end if it still runs."""
    words = ["annotate", "--run", str(run), "--no-open", "--json", "--port", str(port)]
    process = subprocess.Popen(
        [sys.executable, "-m", "raypipe", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        served = Served("", process)
        served.listen()
        line = process.stdout.readline()
        assert line, "\n".join(served.said)
        served.url = json.loads(line)["url"]
        yield served
    finally:
        process.kill()
        process.wait()


def said(run: Run, name: str, cluster: int, verdict: str, who: str = "ann") -> dict[str, object]:
    """Return an answer as a page sends it."""
    membership = clusters_of(run).memberships[name, cluster]
    return {"annotator": who, "class": name, "cluster": cluster, "membership": membership,
            "verdict": verdict, "seconds": 1.3, "note": ""}  # fmt: skip
