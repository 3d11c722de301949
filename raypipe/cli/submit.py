"""`raypipe submit`."""

from __future__ import annotations

import shlex
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raypipe.errors import INTERRUPTED, UsageError
from raypipe.progress import interrupted, say

if TYPE_CHECKING:
    from raypipe.engine.jobs import JobServer

_MOST = 50_000_000  # bytes; Ray itself refuses ten times as much


def submit(
    job: Annotated[
        list[str] | None,
        typer.Argument(
            help="A run file; or a command and its options, as extract --config FILE; or a Python "
            "file and its arguments.",
        ),
    ] = None,
    address: Annotated[
        str,
        typer.Option("--address", envvar="RAY_API_SERVER_ADDRESS", help="The cluster's dashboard."),
    ] = "http://127.0.0.1:8265",
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Follow the log until the job ends.")
    ] = True,
    follow: Annotated[
        str | None, typer.Option("--follow", help="Follow this job, which was submitted before.")
    ] = None,
    stop: Annotated[str | None, typer.Option("--stop", help="Stop this job.")] = None,
) -> None:
    """Run any command on a cluster as it runs here, follow its log, end with its exit code.

    Sent along are raypipe's own code, the run file and small files that it names, and variables
    RAYPIPE_…; no images, no weights, no credentials. The same job once more goes on from what a
    lost one has committed.
    """
    from raypipe.engine.jobs import JobServer

    if sum([bool(job), follow is not None, stop is not None]) != 1:
        raise UsageError(
            "submit: name a job, or --follow ID, or --stop ID", "one of them, and only one"
        )
    if stop is not None:
        was_running = JobServer(address).stop(stop)
        say(f"job {stop}: {'stopped' if was_running else 'had ended already'}")
        return
    if follow is not None:
        server, name = JobServer(address), follow
    else:
        server, name = _started(job or [], address)
    if not wait:
        say(f"follow it with `raypipe submit --follow {name} --address {address}`")
        return
    try:
        code = server.follow(name, _echo)
    except KeyboardInterrupt:
        interrupted.clear()  # what is interrupted is looking on: nothing here has to go on
        say(
            f"job {name} goes on. Follow it with `raypipe submit --follow {name}`, "
            f"stop it with `raypipe submit --stop {name}`"
        )
        raise typer.Exit(INTERRUPTED) from None
    say(f"job {name}: {'done' if code == 0 else f'ended with exit code {code}'}")
    raise typer.Exit(code)


def _started(words: list[str], address: str) -> tuple[JobServer, str]:
    """Pack and start a job; return its server and its id."""
    from raypipe.cloud import pack
    from raypipe.engine.jobs import JobServer

    package = pack.package(words, Path.cwd())
    if package.size > _MOST:
        largest = max(package.files, key=lambda name: package.files[name].stat().st_size)
        raise UsageError(
            f"submit: {package.size / 1e6:,.0f} MB to send, the limit is {_MOST / 1e6:.0f} MB",
            f"the largest file is {largest}: put it where every node reaches it",
        )
    for line in package.remarks:
        say(line)
    server = JobServer(address)
    with tempfile.TemporaryDirectory(prefix="raypipe-job-") as folder:
        package.write(Path(folder))
        name = server.submit(shlex.join(package.words), Path(folder), pack.environment())
    say(f"job {name}: {len(package.files)} files, {package.size / 1e6:.1f} MB sent to {address}")
    return server, name


def _echo(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
