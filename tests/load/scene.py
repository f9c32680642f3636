"""What a fault of the chaos run works on, and how it waits and looks."""

from __future__ import annotations

import asyncio
import hmac
import json
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.identity.forge import b64
from tests.load.checks import Check
from tests.load.stack import Stack

SECRET: Final = b"load secret of tokens, of no use anywhere else"


@dataclass(frozen=True)
class Scene:
    """What a strike works on. `exits` is for what it starts and what lives on; it ends before the stack.

    `pace` is how long everything takes, 1 for the times that are written down.
    """

    stack: Stack
    exits: ExitStack
    pace: float = 1.0

    async def passes(self, seconds: float) -> None:
        """Let time pass while traffic runs."""
        await asyncio.sleep(seconds * self.pace)

    async def until(self, condition: Callable[[], Any], timeout: float = 60.0) -> None:
        """Poll until the condition holds. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            while not condition():
                await asyncio.sleep(0.05)

    async def until_serving(self, timeout: float = 60.0) -> None:
        """Wait for SERVING of every worker. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            for index in range(self.stack.workers):
                while not await _serves(self.stack.first_port + index):
                    await asyncio.sleep(0.05)


async def _serves(port: int) -> bool:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=1.0)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def none(what: str, count: float) -> Check:
    """There must be none of it."""
    return Check(what, "none", f"{count:g}", not count)


def at_least(what: str, count: float, least: float) -> Check:
    """There must be enough of it."""
    return Check(what, f"at least {least:g}", f"{count:g}", count >= least)


def shown_certificate(port: int, cert: Path, key: Path) -> bytes:
    """The certificate (DER) that a server on loopback shows to a client with one of its own."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(cert, key)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plain, context.wrap_socket(plain) as secure:
        return secure.getpeercert(binary_form=True) or b""


def token(issued: float, ends: float) -> str:
    """A signed token of the caller `steady`, whose times are seconds from now."""
    now = int(time.time())
    claims: Mapping[str, Any] = {
        "sub": "steady-by-token",
        "tenant": "acme",
        "tier": "steady",
        "roles": ["analyst"],
        "iat": now + int(issued),
        "exp": now + int(ends),
    }
    text = f"{b64(json.dumps({'alg': 'HS256', 'typ': 'JWT'}).encode())}.{b64(json.dumps(claims).encode())}"
    return f"{text}.{b64(hmac.digest(SECRET, text.encode(), 'sha256'))}"
