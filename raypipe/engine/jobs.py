"""Ray's job server: a command runs on the head of a cluster, and its log is followed from here."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from raypipe.errors import INTERRUPTED, ClusterUnavailableError, InputError

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
"""Where `ray dashboard cluster.yaml` brings a cluster's job server to."""

_TOKEN_FILE = Path("~/.ray/auth_token")
_TALKATIVE = (
    "ray.dashboard.modules.job.sdk",
    "ray.dashboard.modules.dashboard_sdk",
    "ray._private.runtime_env.packaging",
)
"""Loggers of Ray that tell of every upload and connection."""

_ANSWER_WITHIN = 10.0  # seconds
_LOOK_AGAIN = 2.0  # seconds
_PATIENCE = 300.0  # seconds that a job server may be out of reach while its job is followed


class JobServer:
    """The job server of a cluster, which runs the same Ray as this machine.

    Args:
        address: Of the dashboard, as http://127.0.0.1:8265.

    Raises:
        ClusterUnavailableError: If nobody answers there, it is something else than a Ray dashboard,
            it wants a token that is missing or another one, or runs another Ray.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        has_token = _use_token()
        found = self._version(has_token=has_token)
        os.environ["RAY_API_SERVER_ADDRESS"] = self.address  # or RAY_ADDRESS would win over it
        self._client = self._connected(found)

    def submit(self, command: str, folder: Path, environment: Mapping[str, str]) -> str:
        """Start a command on the head.

        Args:
            command: As a shell takes it.
            folder: Sent along; the command runs in a copy of it.
            environment: Further variables.

        Returns:
            The job's id.
        """
        return str(
            self._client.submit_job(
                entrypoint=command,
                runtime_env={"working_dir": str(folder), "env_vars": dict(environment)},
            )
        )

    def follow(self, job: str, write: Callable[[str], None]) -> int:
        """Hand on a job's log as it grows, until the job ends; a lost connection is made again.

        Args:
            job: Its id.
            write: Told each piece of the log.

        Returns:
            The exit code of its command; 130 if it was stopped, 1 if it ended without a code.

        Raises:
            InputError: If there is no such job.
            ClusterUnavailableError: If the job server is out of reach for minutes.
        """
        log = _Log(write)
        while True:
            asyncio.run(self._tail(job, log))
            details = self._details(job)
            if str(details.status.value) in {"SUCCEEDED", "FAILED", "STOPPED"}:
                break
            time.sleep(_LOOK_AGAIN)
        log.catch_up(self._client.get_job_logs(job))
        return _exit_code(details, write)

    def stop(self, job: str) -> bool:
        """Stop a job; return whether it still ran.

        Raises:
            InputError: If there is no such job.
        """
        self._details(job)
        return bool(self._client.stop_job(job))

    async def _tail(self, job: str, log: _Log) -> None:
        """Hand on the log until the connection ends, for whatever reason."""
        import aiohttp

        log.again()
        try:
            async for piece in self._client.tail_job_logs(job):
                log.add(piece)
        except (RuntimeError, OSError, aiohttp.ClientError):
            return  # the job may have ended, or the connection: the caller looks

    def _details(self, job: str) -> JobDetails:
        """Return how a job stands.

        Raises:
            InputError: If there is no such job.
            ClusterUnavailableError: If nobody says.
        """
        import requests

        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                return self._client.get_job_info(job)
            except RuntimeError as error:
                if "does not exist" in str(error):
                    raise InputError(
                        f"{self.address} has no job {job}", "`ray job list` names its jobs"
                    ) from None
                raise
            except (requests.RequestException, OSError):
                if time.monotonic() > deadline:
                    raise ClusterUnavailableError(
                        f"{self.address} does not answer any more; job {job} may still run",
                        f"`raypipe submit --follow {job}` goes on when it does",
                    ) from None
                time.sleep(_LOOK_AGAIN)

    def _version(self, *, has_token: bool) -> str:
        """Return the cluster's Ray version, or nothing if it tells it to holders of its token only.

        Raises:
            ClusterUnavailableError: If that is not to be had.
        """
        if not self.address.startswith(("http://", "https://")):
            raise ClusterUnavailableError(
                f"{self.address}: not the address of a job server",
                "name the dashboard, as http://127.0.0.1:8265 (`ray dashboard cluster.yaml`)",
            )
        try:
            with urllib.request.urlopen(  # noqa: S310 -- http or https, checked above
                f"{self.address}/api/version", timeout=_ANSWER_WITHIN
            ) as reply:
                return str(json.load(reply)["ray_version"])
        except urllib.error.HTTPError as error:
            if error.code in {401, 403}:
                if not has_token:
                    raise _no_token(self.address) from None
                return ""
            raise _no_dashboard(self.address, f"it answers {error.code}") from None
        except (ValueError, KeyError, TypeError):
            raise _no_dashboard(self.address, "its answer is none of Ray's") from None
        except OSError as error:
            reason = getattr(error, "reason", None) or error
            raise ClusterUnavailableError(
                f"Ray job server {self.address}: no answer ({reason})",
                "is the cluster up, and the tunnel to it (`ray dashboard cluster.yaml`)?",
            ) from None

    def _connected(self, version: str) -> JobSubmissionClient:
        """Return Ray's own client.

        Raises:
            ClusterUnavailableError: If the token is not the cluster's, or the versions are apart.
        """
        import ray
        from ray.job_submission import JobSubmissionClient

        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)
        if version and version != ray.__version__:
            raise _apart(self.address, version, ray.__version__)
        try:
            client = JobSubmissionClient(self.address)
        except ray.exceptions.AuthenticationError:
            raise ClusterUnavailableError(
                f"Ray job server {self.address}: it refuses this machine's token",
                f"copy the cluster's token to {_TOKEN_FILE}, or set RAY_AUTH_TOKEN to it",
            ) from None
        except (RuntimeError, OSError, ValueError) as error:
            raise _no_dashboard(self.address, str(error).splitlines()[0]) from None
        told = client._server_ray_version  # noqa: SLF001 -- said to holders of the token only
        if told != ray.__version__:
            raise _apart(self.address, str(told), ray.__version__)
        return client


class _Log:
    """A log that is read from its start at every new connection, and handed on once."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._written = self._read = 0

    def again(self) -> None:
        """Read from the start."""
        self._read = 0

    def add(self, piece: str) -> None:
        """Take the next piece; hand on what is new of it."""
        new = piece[max(self._written - self._read, 0) :]
        self._read += len(piece)
        self._written = max(self._written, self._read)
        if new:
            self._write(new)

    def catch_up(self, whole: str) -> None:
        """Take the whole log."""
        self.again()
        self.add(whole)


def _exit_code(details: JobDetails, write: Callable[[str], None]) -> int:
    status, code = str(details.status.value), details.driver_exit_code
    if status == "SUCCEEDED":
        return 0
    if status == "STOPPED":
        return INTERRUPTED
    if code is None:  # it never started, or the head lost it: the log does not say so
        write(f"{details.message}\n")
    return int(code) if code else 1


def _use_token() -> bool:
    """Have Ray send a token if there is one; it reads this when it is imported."""
    known = bool(os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"))
    if known or _TOKEN_FILE.expanduser().exists():
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        return True
    os.environ.pop("RAY_AUTH_MODE", None)  # Ray would end the process over the missing token
    return False


def _no_token(address: str) -> ClusterUnavailableError:
    return ClusterUnavailableError(
        f"Ray job server {address}: it wants a token, and there is none here",
        f"copy the cluster's token to {_TOKEN_FILE}, or set RAY_AUTH_TOKEN to it",
    )


def _no_dashboard(address: str, reason: str) -> ClusterUnavailableError:
    return ClusterUnavailableError(
        f"{address}: not a Ray dashboard ({reason})",
        "name the dashboard's address; its port is 8265 unless told otherwise",
    )


def _apart(address: str, theirs: str, ours: str) -> ClusterUnavailableError:
    return ClusterUnavailableError(
        f"Ray job server {address}: the cluster runs Ray {theirs}, this machine {ours}",
        f"install ray=={theirs} here, or start the cluster with an image of Ray {ours}",
    )
