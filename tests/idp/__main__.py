"""`python -m tests.idp PORT`: canaille with one user and one client, behind a gate that can make it misbehave.

The provider itself is as it comes. `POST /-/lie?as=WORD` sets how the gate before it behaves, `POST /-/rotate?keep=0|1`
gives it a new signing key, and keeps publishing the old one or not. `/oauth/authorize?...&-user=NAME` stands for a
browser in which NAME is logged in.
"""

from __future__ import annotations

import datetime
import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

CLIENT, SECRET, USER, CALLBACK = "models", "an-idp-client-secret-of-the-tests", "ada", "https://app.example/callback"


class Gate:
    """WSGI before the provider."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._lie = ""

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path, query = environ["PATH_INFO"], {k: v[0] for k, v in parse_qs(environ["QUERY_STRING"]).items()}
        if path == "/-/lie":
            self._lie = query.get("as", "")
            return _plain(start)
        if path == "/-/rotate":
            rotate(self._app, keep=query["keep"] == "1")
            return _plain(start)
        about_keys = path in ("/.well-known/openid-configuration", "/oauth/jwks.json", "/oauth/introspect")
        if not about_keys or not self._lie:
            return self._app(environ, start)  # type: ignore[no-any-return]
        return self._misbehave(path, environ, start)

    def _misbehave(self, path: str, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        match self._lie:
            case "issuer" if path.endswith("openid-configuration"):
                return [b"".join(self._app(environ, start)).replace(b'"issuer":"http', b'"issuer":"xttp')]
            case "redirect" if path == "/oauth/jwks.json":
                start("302 Found", [("location", "http://127.0.0.1:9/jwks")])
                return []
            case "huge" if path == "/oauth/jwks.json":
                start("200 OK", [("content-type", "application/json")])
                return (b'{"keys":[],"x":"' if n == 0 else b"a" * 1_000_000 for n in range(101))
            case "slow":
                time.sleep(30)
            case "broken":
                start("500 Internal Server Error", [])
                return []
        return self._app(environ, start)  # type: ignore[no-any-return]


def _plain(start: Callable[..., Any]) -> list[bytes]:
    start("204 No Content", [])
    return []


def new_key() -> dict[str, Any]:
    from joserfc.jwk import RSAKey

    return dict(RSAKey.generate_key(2048, auto_kid=True).as_dict(private=True))


def rotate(app: Any, *, keep: bool) -> None:
    oidc = app.config["CANAILLE_OIDC"]
    oidc["INACTIVE_JWKS"] = [*oidc["ACTIVE_JWKS"]] if keep else []
    oidc["ACTIVE_JWKS"] = [new_key()]


def build(port: int) -> Any:
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # loopback
    from canaille import create_app
    from canaille.app import models
    from canaille.app.session import UserSession
    from canaille.backends import Backend
    from flask import g, request

    configuration = {
        "TESTING": True,
        "ENV_FILE": None,
        "SECRET_KEY": "a-session-secret-of-the-tests",
        "WTF_CSRF_ENABLED": False,
        "PREFERRED_URL_SCHEME": "http",
        "SERVER_NAME": f"127.0.0.1:{port}",
        "CANAILLE": {"DATABASE": "memory", "JAVASCRIPT": False, "ACL": {"DEFAULT": {"PERMISSIONS": ["use_oidc"]}}},
        "CANAILLE_OIDC": {"ACTIVE_JWKS": [new_key()], "REQUIRE_NONCE": False, "TRUSTED_DOMAINS": ["app.example"]},
    }
    app = create_app(config=configuration)
    with app.app_context():
        user = models.User(user_name=USER, family_name="L", formatted_name="Ada L", emails=["ada@example.com"])
        Backend.instance.save(user)
        client = models.Client(
            client_id=CLIENT,
            client_secret=SECRET,
            client_name="models",
            client_uri="https://app.example",
            grant_types=["authorization_code", "client_credentials"],
            response_types=["code"],
            redirect_uris=[CALLBACK],
            token_endpoint_auth_method="client_secret_basic",
            scope=["openid", "profile", "email"],
        )
        Backend.instance.save(client)
        client.audience = [client]
        Backend.instance.save(client)

    @app.before_request
    def login() -> None:
        if request.args.get("-user") == USER:
            found = Backend.instance.get(models.User, user_name=USER)
            g.session = UserSession(user=found, last_login_datetime=datetime.datetime.now(datetime.UTC))

    return app


if __name__ == "__main__":
    import waitress

    number = int(sys.argv[1])
    waitress.serve(Gate(build(number)), host="127.0.0.1", port=number, threads=8, _quiet=True)
