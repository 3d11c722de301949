"""`raypipe annotate`."""

from __future__ import annotations

import json
import threading
import webbrowser
from typing import TYPE_CHECKING, Annotated

import typer

from raypipe.cli import options
from raypipe.progress import say

if TYPE_CHECKING:
    from raypipe.annotate.serve import Site


def annotate(
    run: options.RunDir = None,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; others than this machine's own "
                          "loopback let other machines in.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes any that is free.")
    ] = 8765,
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Do not open a browser.")
    ] = False,
    config: options.ConfigFile = None,
    sets: options.Set = None,
    address: options.Address = None,
    cpus: options.Cpus = None,
    as_json: options.Json = False,
) -> None:  # fmt: skip
    """Answer in the browser: the sheets, served until Ctrl-C; each answer is saved at once.

    Several people may answer at a time, each under a name and blind to the others.
    """

    def opened(site: Site) -> None:
        typer.echo(json.dumps({"url": site.url}) if as_json else site.url)
        if site.public:
            say(
                f"warning: other machines reach {host}, and whoever has the link can answer; "
                "what is sent is not encrypted"
            )
        say("open the link; Ctrl-C ends")
        if not no_open:
            # Some browsers run in the terminal and return when they are closed.
            threading.Thread(target=webbrowser.open, args=(site.url,), daemon=True).start()

    with options.pipeline(run, config, sets, address=address, cpus=cpus) as pipeline:
        status = pipeline.annotate(host, port, opened)
        say(f"{status.answered} of {status.questions} questions are answered. Next:")
        say(f"  raypipe {'refine' if status.answered else 'annotate'} --run {pipeline.run}")
