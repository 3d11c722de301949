"""Who may talk to the annotation server, and what a refusal looks like.

A browser sends requests on behalf of any page that it shows. So each must carry the token that was
printed where the server was started, must name this server as its host (a foreign name that
resolves to this machine is an attack), and may only write from a page of this server.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from raypipe.progress import say

LIMIT = 64 * 1024
"""Bytes of a request's body; an answer has some 300, a long note included."""

_NO_TOKEN = "no or wrong token: open the link that `raypipe annotate` printed"  # noqa: S105 -- a message
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_SHOWN = 100  # characters of a path in the log

# The redirect is the page's own: after one by the server, a browser that came from a link in a mail
# or a chat would not send a SameSite=Strict cookie.
_ENTERED = '<!doctype html><meta http-equiv="refresh" content="0; url=/"><title>raypipe</title>'

_HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": "default-src 'self' 'unsafe-inline' data: blob:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",  # the token stands in the first address
    "x-content-type-options": "nosniff",
}


class Guard:
    """An ASGI application that passes on what is allowed and refuses the rest.

    Args:
        app: Gets the requests that are allowed.
        token: What the printed link holds.
        host: Address that the server listens on.
        port: Its port. Cookies do not know ports: its number tells two servers' cookies apart.
    """

    def __init__(self, app: ASGIApp, *, token: str, host: str, port: int) -> None:
        self._app = app
        self._token = token
        self._host = host
        self._cookie = f"raypipe-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        request = Request(scope)
        entering = request.url.path == "/" and "token" in request.query_params
        answer: ASGIApp = self._app
        if problem := self._problem(request, entering=entering):
            answer = refusal(request, *problem)
        elif entering:
            answer = self._entered()

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await answer(scope, receive, sending)

    def _problem(self, request: Request, *, entering: bool) -> tuple[int, str] | None:
        """Return the status and the reason of a refusal, or None."""
        headers = request.headers
        host = headers.get("host", "")
        if not self._is_own(host):
            return 403, f"not a name of this server: {host[:_SHOWN]!a}"
        given = request.query_params["token"] if entering else request.cookies.get(self._cookie, "")
        if not secrets.compare_digest(given.encode(), self._token.encode()):
            return 403, _NO_TOKEN
        origin = headers.get("origin")
        writes = request.method not in {"GET", "HEAD"}
        if (writes or origin is not None) and origin != f"http://{host}":
            return 403, f"from a page of another origin: {(origin or '')[:_SHOWN]!a}"
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if request.method == "POST" and kind != "application/json":
            return 415, "the content type must be application/json"
        return None

    def _is_own(self, host: str) -> bool:
        """Whether a Host header names this server; any port, for there may be a tunnel before."""
        name = host.rpartition("]")[0].strip("[") if "]" in host else host.partition(":")[0]
        own = {self._host, *(_LOOPBACK if is_loopback(self._host) else ())}
        if _is_any(self._host):
            # It is reached by every name of the machine. An address is none that resolves falsely.
            own |= {socket.gethostname(), socket.getfqdn(), *_LOOPBACK}
            return name in own or _is_address(name)
        return name in own

    def _entered(self) -> Response:
        """Take the token out of the address and into a cookie."""
        response = HTMLResponse(_ENTERED)
        response.set_cookie(self._cookie, self._token, httponly=True, samesite="strict")
        return response


def refusal(request: Request, status: int, reason: str) -> Response:
    """Return a refusal as JSON, and log it in one line."""
    raw = request.scope.get("raw_path") or b""
    path = ascii(raw.decode("latin-1"))[1:-1][:_SHOWN]  # without the query: it may hold the token
    client = request.client.host if request.client else "?"
    say(f"refused: {status} {request.method} {path} from {client}: {reason}")
    return JSONResponse({"error": reason}, status)


async def body(request: Request) -> bytes:
    """Return a request's body.

    Raises:
        HTTPException: 413 if it is too large; what is too large is not read.
    """
    too_large = HTTPException(413, f"a body of more than {LIMIT} bytes")
    if int(request.headers.get("content-length", 0)) > LIMIT:
        raise too_large
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > LIMIT:
            raise too_large
    return content


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine reach an address."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_any(host: str) -> bool:
    return _is_address(host) and ipaddress.ip_address(host).is_unspecified


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
