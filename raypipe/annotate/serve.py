"""The annotation server: the pages of the sheets step, and the few requests that they make."""

from __future__ import annotations

import errno
import re
import secrets
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Literal

import uvicorn
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from raypipe.annotate.guard import Guard, body, is_loopback, refusal
from raypipe.annotate.session import Session, StaleError, UnknownError
from raypipe.errors import MissingError, RaypipeError, UsageError
from raypipe.storage.location import Location
from raypipe.storage.run import Run

PORT = 8765

_PAGE = re.compile(r"[\w%~ ()+,=@-]+\.(html|png|webp)", re.ASCII)  # as `slug` writes them
_KINDS = {"html": "text/html", "png": "image/png", "webp": "image/webp"}
_META = b'<head><meta name="raypipe-api" content="api/">'
_GRACE = 5  # seconds that requests under way have when the server ends


def _printable(name: str) -> str:
    if not name.isprintable():
        raise ValueError("holds control characters")
    return name


_Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=80),
    AfterValidator(_printable),
]


class _Person(BaseModel):
    """Who sends a request."""

    model_config = ConfigDict(strict=True)
    annotator: _Name


class _Answer(_Person):
    """An answer as a page sends it."""

    class_: str = Field(alias="class")
    cluster: int = Field(ge=1, lt=2**31)
    membership: str
    verdict: Literal["object", "distractor", "unsure"]
    seconds: float | None = Field(default=None, ge=0, le=1e6, allow_inf_nan=False)
    note: Annotated[str, StringConstraints(strip_whitespace=True, max_length=10_000)] = ""


@dataclass(frozen=True)
class Site:
    """A server that has its port and is about to serve.

    Attributes:
        url: Link with the token, to be opened once in each browser.
        public: Whether other machines reach it.
        app: The application.
        listener: Its socket; requests wait there until `serve`.
    """

    url: str
    public: bool
    app: Guard
    listener: socket.socket

    def serve(self) -> None:
        """Serve until Ctrl-C or SIGTERM; what is under way is finished, then it returns."""
        server = uvicorn.Server(
            uvicorn.Config(
                self.app, log_config=None, access_log=False, ws="none", lifespan="off",
                server_header=False, timeout_graceful_shutdown=_GRACE,
            )
        )  # fmt: skip
        with self.listener, _ending(server):
            server.run(sockets=[self.listener])


def site(run: Run, *, host: str = "127.0.0.1", port: int = PORT) -> Site:
    """Make the server of a run whose sheets are drawn.

    Args:
        run: The run.
        host: Address to listen on.
        port: 0 takes any that is free.

    Raises:
        UsageError: If it cannot listen there.
        InputError: If the run is not clustered, or a table is damaged.
    """
    session = Session(run)
    listener = _listen(host, port)
    port = listener.getsockname()[1]
    token = secrets.token_urlsafe(24)
    app = Guard(application(session, run.step("sheets")), token=token, host=host, port=port)
    name = socket.gethostname() if host in {"0.0.0.0", "::"} else host  # noqa: S104 -- compared
    shown = f"[{name}]" if ":" in name else name
    return Site(f"http://{shown}:{port}/?token={token}", not is_loopback(host), app, listener)


def application(session: Session, pages: Location) -> Starlette:
    """Return the application itself; a `Guard` belongs before it.

    Args:
        session: The answers.
        pages: Folder of the sheets step.
    """

    def page(request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        found = _PAGE.fullmatch(name)
        try:
            content = (pages / name).read_bytes() if found else b""
        except MissingError:
            found = None
        if not found:
            raise HTTPException(404, "there is no such page")
        if found[1] == "html":
            content = content.replace(b"<head>", _META, 1)
        return Response(content, media_type=_KINDS[found[1]])

    def icon(request: Request) -> Response:
        del request
        return Response(status_code=204)  # browsers ask for it unasked

    def state(request: Request) -> Response:
        given = _Person.model_validate(dict(request.query_params))
        return JSONResponse(session.state(given.annotator))

    async def answer(request: Request) -> Response:
        given = _Answer.model_validate_json(await body(request))
        key = (given.class_, given.cluster)
        found = await run_in_threadpool(
            session.answer, given.annotator, key, given.membership, given.verdict,
            seconds=given.seconds, note=given.note,
        )  # fmt: skip
        return JSONResponse(found)

    async def undo(request: Request) -> Response:
        given = _Person.model_validate_json(await body(request))
        return JSONResponse(await run_in_threadpool(session.undo, given.annotator))

    async def redo(request: Request) -> Response:
        given = _Person.model_validate_json(await body(request))
        return JSONResponse(await run_in_threadpool(session.redo, given.annotator))

    return Starlette(
        routes=[
            Route("/", page),
            Route("/favicon.ico", icon),
            Route("/api/state", state),
            Route("/api/answer", answer, methods=["POST"]),
            Route("/api/undo", undo, methods=["POST"]),
            Route("/api/redo", redo, methods=["POST"]),
            Route("/{name}", page),
        ],
        exception_handlers={
            HTTPException: _refused,
            ValidationError: _malformed,
            RaypipeError: _failed,
        },
    )


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 -- for the type checker
    return refusal(request, error.status_code, error.detail)


def _malformed(request: Request, error: Exception) -> Response:
    """Say what is wrong with a body, without repeating it."""
    assert isinstance(error, ValidationError)  # noqa: S101 -- for the type checker
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return refusal(request, 400, f"{place}: {first['msg']}" if place else first["msg"])


def _failed(request: Request, error: Exception) -> Response:
    """Pass on what is wrong with the run: an answer that cannot be saved is not acknowledged."""
    assert isinstance(error, RaypipeError)  # noqa: S101 -- for the type checker
    status = 404 if isinstance(error, UnknownError) else 503
    status = 409 if isinstance(error, StaleError) else status
    return refusal(request, status, f"{error.message}: {error.remedy}")


def _listen(host: str, port: int) -> socket.socket:
    # asyncio sends small answers at once only on sockets that name TCP: 40 ms an answer.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise UsageError(
                f"port {port} of {host} is taken",
                "end the other server, or pass --port 0 for any free port",
            ) from None
        raise UsageError(
            f"cannot listen on port {port} of {host} ({error.strerror or error})",
            "name an address of this machine with --host and a port above 1023 with --port",
        ) from None
    return listener


@contextmanager
def _ending(server: uvicorn.Server) -> Iterator[None]:
    """Let signals end the server and not the process: answers are put in order after it.

    uvicorn raises the signal that ended it once more. Before it listens to signals itself, ours end
    it too.
    """

    def end(number: int, frame: object) -> None:
        del number, frame
        server.should_exit = True

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
