"""A web framework's request as the arguments of `decide`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict
from urllib.parse import quote, unquote_to_bytes

_SAFE = "/~!$&'()*+,=:@"


class RequestArguments(TypedDict):
    """Arguments of `decide`, without the body."""

    method: str
    path: str
    host: str
    query: str
    headers: list[tuple[str, str]]
    client_ip: str
    scheme: str


def from_asgi(scope: Mapping[str, Any]) -> RequestArguments:
    """From an ASGI HTTP scope (FastAPI, Starlette: `request.scope`).

    The path is the one on the request line where that is also the one the application routes by.
    """
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    path: str = scope["path"]
    raw: bytes = scope.get("raw_path") or b""
    same = unquote_to_bytes(raw) == path.encode("utf-8", "surrogatepass")
    client = scope.get("client")
    return RequestArguments(
        method=scope["method"],
        path=raw.decode("latin-1") if same else quote(path, safe=_SAFE, errors="surrogatepass"),
        host=next((value for name, value in headers if name.lower() == "host"), ""),
        query=scope.get("query_string", b"").decode("latin-1"),
        headers=headers,
        client_ip=client[0] if client else "",
        scheme=scope.get("scheme", ""),
    )


def from_wsgi(environ: Mapping[str, Any]) -> RequestArguments:
    """From a WSGI environment (Flask: `request.environ`). WSGI hands over a decoded path; it is encoded again."""
    headers = [(key[5:].replace("_", "-").lower(), value) for key, value in environ.items() if key.startswith("HTTP_")]
    plain = ("CONTENT_TYPE", "CONTENT_LENGTH")
    headers += [(key.replace("_", "-").lower(), environ[key]) for key in plain if environ.get(key)]
    path: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return RequestArguments(
        method=environ["REQUEST_METHOD"],
        path=quote(path.encode("latin-1"), safe=_SAFE),
        host=environ.get("HTTP_HOST", ""),
        query=environ.get("QUERY_STRING", ""),
        headers=headers,
        client_ip=environ.get("REMOTE_ADDR", ""),
        scheme=environ.get("wsgi.url_scheme", ""),
    )
