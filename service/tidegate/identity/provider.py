"""Asking an identity provider: every request that leaves this room for one, with the same care.

HTTPS, or plain HTTP to a loopback host; a time and a size cap; no redirects; no compression; no proxies or credentials
from the environment; the strict JSON reader.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any, Final

import httpx

from tidegate.strict_json import parse_object

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 8
# No compression: the size cap then bounds what is parsed, too.
_HEADERS: Final = {"accept": "application/json", "accept-encoding": "identity"}

FAILURES: Final = (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError, ValueError)
"""What a provider's absence or misbehaviour raises here; TimeoutError is an OSError, `Unusable` a ValueError."""


class Unusable(ValueError):
    """The provider's answer cannot be used; the text goes to our own records. `status` is 0 where that is not why."""

    def __init__(self, reason: str, *, status: int = 0) -> None:
        super().__init__(reason)
        self.status = status


class Provider:
    """An HTTP client for identity providers. `timeout` is seconds a request; a whole conversation is the caller's.

    The httpx client is closed by `close` only when it was made here.
    """

    def __init__(self, *, client: httpx.AsyncClient | None = None, timeout: float = 2.0) -> None:
        self._client = client
        self._owns_client = client is None
        self._timeout = timeout

    def open(self) -> httpx.AsyncClient:
        """The client. Making it loads the CA certificates, which is not the provider's time."""
        if self._client is None:
            # Whoever asks bounds how much is asked at once; a pool for all would let one provider use it up.
            bounds = httpx.Limits(max_connections=None, max_keepalive_connections=20)
            self._client = httpx.AsyncClient(trust_env=False, follow_redirects=False, limits=bounds)
        return self._client

    async def get(self, uri: str, *, accept: str = "application/json") -> dict[str, Any]:
        """The JSON object at `uri`. Raises one of FAILURES."""
        return await self._ask("GET", uri, headers={"accept": accept})

    async def post(self, uri: str, form: Mapping[str, str], *, auth: tuple[str, str] | None = None) -> dict[str, Any]:
        """The JSON object that `uri` answers to a form. `auth` is for HTTP Basic. Raises one of FAILURES."""
        return await self._ask("POST", uri, data=dict(form), auth=auth)

    async def close(self) -> None:
        """Close the client."""
        if self._client is not None and self._owns_client:
            await self._client.aclose()
            self._client = None

    async def _ask(
        self, method: str, uri: str, *, headers: Mapping[str, str] | None = None, **how: Any
    ) -> dict[str, Any]:
        refuse_unsafe(uri)
        sent = {**_HEADERS, **(headers or {})}
        ask = self.open().stream(method, uri, headers=sent, follow_redirects=False, timeout=self._timeout, **how)
        async with ask as response:
            if response.status_code != 200:
                raise Unusable(f"status {response.status_code}", status=response.status_code)
            if response.headers.get("content-encoding", "identity") != "identity":
                raise Unusable("compressed")
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise Unusable("too large")
        return parse_object(bytes(body), max_depth=MAX_DEPTH)


def refuse_unsafe(uri: str) -> None:
    """Raises Unusable: keys over plain HTTP are anybody's keys, so only a loopback host may serve them so."""
    url = httpx.URL(uri)
    if url.userinfo or not url.host:
        raise Unusable("address")
    if url.scheme != "https" and not (url.scheme == "http" and is_loopback(url.host)):
        raise Unusable("not https")


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine, by its address or as "localhost"."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
