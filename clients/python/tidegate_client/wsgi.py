"""A policy in front of a WSGI application (Flask): decided before it runs, its responses rewritten as they come."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, MutableMapping
from contextlib import ExitStack, suppress
from http import HTTPStatus
from typing import Any, Final, Self

from tidegate_client import adapting, messages
from tidegate_client.engine import SyncPolicyEngine
from tidegate_client.errors import TidegateError, TidegateUnavailable
from tidegate_client.exchange import Exchange, Release
from tidegate_client.results import Allowed, Denied
from tidegate_client.web import RequestArguments, from_wsgi

Environ = MutableMapping[str, Any]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]

# A server sends such a file without us, and who asks to upgrade is handed the connection itself.
_AROUND_US: Final = ("wsgi.file_wrapper", "werkzeug.socket", "gunicorn.socket", "HTTP_UPGRADE")


class TidegateWsgi:
    """WSGI middleware: `app.wsgi_app = TidegateWsgi(app.wsgi_app, gate=Tidegate("tidegate:9401"))`.

    It does what `TidegateAsgi` does, in the thread that serves the request. A response that must not go on once it has
    begun ends in `ResponseCutOff`, at which the server closes the connection. `app` is not told that a client asks for
    a WebSocket, and is not handed its connection.
    """

    def __init__(
        self, app: App, gate: SyncPolicyEngine, *, max_body: int = adapting.MAX_BODY, unguarded: Collection[str] = ()
    ) -> None:
        self._app = app
        self._gate = gate
        self._max_body = max_body
        self._unguarded = frozenset(unguarded)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """One request, as WSGI has it."""
        arguments = from_wsgi(environ)
        if arguments["path"] in self._unguarded:
            return self._app(environ, start_response)
        data, partial = _read(environ, self._max_body)
        try:
            verdict = self._gate.decide(**arguments, body=data[: self._max_body], body_partial=partial, exchange=True)
        except TidegateError:
            verdict = messages.unavailable("", arguments["path"])
        if isinstance(verdict, Denied):
            return _reply(start_response, verdict)
        inner = _inner(environ, arguments["headers"], verdict, data)
        if verdict.unchecked:
            return self._app(inner, start_response)
        with ExitStack() as stack:
            try:
                exchange = stack.enter_context(self._gate.open_exchange(verdict))
            except TidegateError:
                return _reply(start_response, messages.unavailable(verdict.request_id, arguments["path"]))
            response = _Response(arguments, verdict, exchange, start_response)
            response.call(self._app, inner)
            response.owns(stack.pop_all())
            return response


class _Response:
    """An application's response on its way through an exchange: an iterable that the server reads and closes."""

    def __init__(
        self, arguments: RequestArguments, verdict: Allowed, exchange: Exchange, start_response: StartResponse
    ) -> None:
        self._method = arguments["method"]
        self._path = arguments["path"]
        self._verdict = verdict
        self._exchange = exchange
        self._start_response = start_response
        self._stack = ExitStack()
        self._chunks: Iterator[bytes] = iter(())
        self._start: tuple[int, list[tuple[str, str]]] | None = None
        self._written: list[bytes] = []
        self._shown = False
        self._begun = False
        self._final = False

    def call(self, app: App, environ: Environ) -> None:
        """Run the application until it gives its response."""
        try:
            result = app(environ, self._start_of)
        except Exception:
            self._failed()
            raise
        if hasattr(result, "close"):
            self._stack.callback(result.close)
        self._chunks = iter(result)

    def owns(self, stack: ExitStack) -> None:
        """What is to be left when the response is closed."""
        self._stack.push(stack)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        while not self._final:
            chunk = self._chunk()
            try:
                data = self._leave(self._releases(chunk))
            except TidegateUnavailable as failure:
                self._final = True
                if self._begun:
                    raise adapting.ResponseCutOff("the response could not be checked") from failure
                unavailable = messages.unavailable(self._verdict.request_id, self._path)
                return self._answer(unavailable)
            if data:
                return data
        raise StopIteration

    def close(self) -> None:
        """The response was sent, or its client is gone: close the application's, and end the exchange."""
        self._final = True
        self._stack.close()

    def _chunk(self) -> bytes | None:
        """What the application writes next, None at its end."""
        if self._written:
            return self._written.pop(0)
        try:
            return next(self._chunks, None)
        except Exception:
            if not self._shown:
                self._failed()
            raise

    def _failed(self) -> None:
        """An error without a usage costs no tokens."""
        with suppress(TidegateError):
            self._exchange.head(500, "", end=True)

    def _releases(self, chunk: bytes | None) -> Iterator[Release]:
        if not self._shown:
            if self._start is None:
                raise adapting.ResponseCutOff("the application wrote a body before its head")
            self._shown = True
            status, headers = self._start
            end = adapting.bodiless(self._method, status, headers)
            kind, coding = adapting.header(headers, "content-type"), adapting.header(headers, "content-encoding")
            tensors = adapting.tensors(headers)
            yield self._exchange.head(status, kind, coding, end=end, tensors=tensors)
        if not self._final:
            yield self._exchange.body(chunk or b"", end=chunk is None)

    def _leave(self, releases: Iterator[Release]) -> bytes:
        out = b""
        for release in releases:
            self._final = release.final
            if release.head is not None:
                assert self._start is not None  # noqa: S101 - an exchange has no head before it was shown one
                status, headers = self._start
                self._begin(status, adapting.answered(headers, self._verdict, release.head))
            if release.reply is not None:
                return self._answer(release.reply)
            out += release.body
            if release.aborted:
                raise adapting.ResponseCutOff("the response was withheld")
        return out

    def _answer(self, denied: Denied) -> bytes:
        self._begin(denied.status, adapting.refused(denied, self._verdict.headers))
        return denied.body

    def _begin(self, status: int, headers: list[tuple[str, str]]) -> None:
        self._begun = True
        self._start_response(_status_line(status), headers)

    def _start_of(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        """The application's `start_response`."""
        if self._shown and exc_info is not None:
            raise exc_info[1].with_traceback(exc_info[2])
        self._start = int(status[:3]), list(headers)
        return self._written.append


def _read(environ: Environ, limit: int) -> tuple[bytes, bool]:
    """The body's beginning, and whether there is more."""
    length = environ.get("CONTENT_LENGTH") or ""
    if not (length or environ.get("wsgi.input_terminated")):
        return b"", False
    wanted = min(int(length), limit) if length.isascii() and length.isdigit() else limit + 1
    parts: list[bytes] = []
    while wanted > 0 and (part := environ["wsgi.input"].read(wanted)):
        parts.append(part)
        wanted -= len(part)
    data = b"".join(parts)
    return data, len(data) > limit or (bool(length) and int(length) > limit)


def _inner(environ: Environ, headers: list[tuple[str, str]], verdict: Allowed, data: bytes) -> Environ:
    """The environment as the application may see it."""
    kept = {f"HTTP_{_key(name)}" for name, _ in adapting.forwarded(headers, verdict)}
    inner = {key: value for key, value in environ.items() if not key.startswith("HTTP_") or key in kept}
    inner |= {f"HTTP_{_key(name)}": value for name, value in verdict.request_headers}
    inner["wsgi.input"] = io.BufferedReader(_Replayed(data, environ))
    for name in _AROUND_US:
        inner.pop(name, None)
    return inner


def _key(name: str) -> str:
    return name.upper().replace("-", "_")


class _Replayed(io.RawIOBase):
    """A body whose beginning was read already. Nothing is read past its length: a server may wait there for ever."""

    def __init__(self, data: bytes, environ: Environ) -> None:
        self._data = memoryview(data)
        self._rest = environ["wsgi.input"]
        length = environ.get("CONTENT_LENGTH") or ""
        endless = environ.get("wsgi.input_terminated") and not length
        self._left = sys.maxsize if endless else int(length or 0) - len(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._data:
            data: Any = self._data[: len(buffer)]
            self._data = self._data[len(buffer) :]
        else:
            data = self._rest.read(min(len(buffer), self._left)) if self._left > 0 else b""
            self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)


def _status_line(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Status"


def _reply(start_response: StartResponse, denied: Denied) -> list[bytes]:
    start_response(_status_line(denied.status), adapting.refused(denied))
    return [denied.body]
