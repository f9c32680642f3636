"""Requests with header lines that no client library would send, and the answers read."""

from __future__ import annotations

import json
import socket
from collections.abc import Collection, Sequence
from http.client import HTTPResponse, RemoteDisconnected
from typing import NamedTuple

from tests.e2e.stack import Gate


class Answered(NamedTuple):
    """An answer; status 0 where the connection or stream ended without one. Names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def over_http1(gate: Gate, target: str, lines: Sequence[bytes], *, method: str = "GET", host: str = "x") -> Answered:
    """The answer to a request whose header lines are sent as they are."""
    head = [f"{method} {target} HTTP/1.1".encode(), f"host: {host}".encode(), b"connection: close", *lines]
    if method == "POST":
        head.append(b"content-length: 0")
    with socket.create_connection(("127.0.0.1", gate.port), timeout=20) as connection:
        connection.sendall(b"\r\n".join(head) + b"\r\n\r\n")
        response = HTTPResponse(connection)
        try:
            response.begin()
        except (RemoteDisconnected, ConnectionError):
            return Answered(0, {}, b"")
        fields = {name.lower(): value for name, value in response.getheaders()}
        return Answered(response.status, fields, response.read())


def shape_fault(answer: Answered, path: str, said: Collection[str]) -> str:
    """What is wrong with a refusal's body, "" for nothing: the caller's format, and no sentence but those `said`."""
    document = json.loads(answer.body)
    if path.startswith("/v1/"):
        shaped = answer.headers["content-type"] == "application/json" and document.keys() == {"error"}
        message = document["error"]["message"]
    else:
        problem = answer.headers["content-type"] == "application/problem+json"
        shaped = problem and document["status"] == answer.status
        message = document["detail"]
    return "" if shaped and message in said else f"{answer.body!r}"
