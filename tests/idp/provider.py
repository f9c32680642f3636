"""The identity provider as a test holds it: started, asked for tokens as an application would, told to misbehave."""

from __future__ import annotations

import base64
import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
from tidegate.demo.stack import Process, free_ports, listening

from tests.idp.__main__ import CALLBACK, CLIENT, SECRET, USER

_VERIFIER = "a-code-verifier-of-the-tests-that-is-long-enough-0123456789"
_TIMEOUT = 20.0


class IdentityProvider:
    """A running provider. Its tokens are good for days."""

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self.issuer = f"http://127.0.0.1:{port}"

    def user_tokens(self) -> dict[str, str]:
        """`access_token` and `id_token` of the user, by an authorization code (RFC 6749 section 4.1, RFC 7636)."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(_VERIFIER.encode()).digest()).rstrip(b"=").decode()
        ask = {
            "response_type": "code",
            "client_id": CLIENT,
            "redirect_uri": CALLBACK,
            "scope": "openid profile",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "state": "s",
            "-user": USER,
        }
        answer = httpx.get(f"{self.issuer}/oauth/authorize", params=ask, timeout=_TIMEOUT)
        (code,) = parse_qs(urlsplit(answer.headers["location"]).query)["code"]
        return self._token(grant_type="authorization_code", code=code, redirect_uri=CALLBACK, code_verifier=_VERIFIER)

    def user_token(self) -> str:
        return self.user_tokens()["access_token"]

    def client_token(self) -> str:
        """An opaque token that the client got for itself (RFC 6749 section 4.4)."""
        return self._token(grant_type="client_credentials")["access_token"]

    def revoke(self, token: str) -> None:
        """RFC 7009."""
        httpx.post(f"{self.issuer}/oauth/revoke", data={"token": token}, auth=(CLIENT, SECRET)).raise_for_status()

    def lie(self, word: str = "") -> None:
        """issuer, redirect, huge, slow, broken; "" for the truth."""
        httpx.post(f"{self.issuer}/-/lie", params={"as": word}, timeout=_TIMEOUT).raise_for_status()

    def rotate(self, *, keep: bool) -> None:
        """Sign with a new key; publish the old one still, or not."""
        httpx.post(f"{self.issuer}/-/rotate", params={"keep": int(keep)}, timeout=_TIMEOUT).raise_for_status()

    def _token(self, **form: str) -> dict[str, str]:
        answer = httpx.post(f"{self.issuer}/oauth/token", data=form, auth=(CLIENT, SECRET), timeout=_TIMEOUT)
        answer.raise_for_status()
        return dict(answer.json())


@contextmanager
def running_provider(directory: Path, port: int = 0) -> Iterator[IdentityProvider]:
    """Start one, and stop it after the block."""
    (number,) = (port,) if port else free_ports(1)
    process = Process([sys.executable, "-m", "tests.idp", str(number)], directory / "idp.log")
    try:
        process.wait_until(lambda: listening(number), timeout=60)
        yield IdentityProvider(process, number)
    finally:
        process.kill()
