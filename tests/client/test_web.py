"""The examples of the package's docstring run, on real FastAPI and Flask; frameworks' requests are read right."""

from __future__ import annotations

import inspect
import textwrap
from typing import Any

import fastapi
import flask
import httpx
import pytest
import tidegate_client
from tidegate_client import LocalPolicy, LocalPolicySync, from_asgi, from_wsgi

from tests.client.world import HOST, PEPPER, World, background, free_port, held, make_servicer, serving

ADDRESS = '"tidegate:9401"'


def example(framework: str, target: str, **names: Any) -> dict[str, Any]:
    """Run one example of the docstring, with the address of the test's service put in."""
    paragraphs = inspect.cleandoc(tidegate_client.__doc__ or "").split(f"{framework}", 1)[1].split("\n\n")[1:]
    code = []
    for paragraph in paragraphs:
        if not paragraph.startswith("    "):
            break
        code.append(textwrap.dedent(paragraph))
    source = "\n\n".join(code)
    assert ADDRESS in source
    namespace = dict(names)
    exec(source.replace(ADDRESS, repr(target)), namespace)
    return namespace


async def test_the_fastapi_example_guards_an_app(world: World) -> None:
    app = fastapi.FastAPI()

    @app.post("/v1/chat/completions")
    async def chat(request: fastapi.Request) -> Any:
        return {"echo": await request.json()}

    async with serving(make_servicer(world).handlers()) as target:
        gate = example("FastAPI", target, app=app, Response=fastapi.Response)["gate"]
        transport = httpx.ASGITransport(app=app)
        async with gate, httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as http:
            headers = dict([world.credential("frida")])
            answers = [
                await http.post("/v1/chat/completions", headers=headers, json={"model": "small"}) for _ in range(3)
            ]
            anonymous = await http.post("/v1/chat/completions", json={"model": "small"})

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].json() == {"echo": {"model": "small"}}
    assert answers[2].json()["error"]["code"] == "rate_limit_exceeded"
    assert int(answers[2].headers["retry-after"]) >= 1
    assert anonymous.status_code == 401
    assert anonymous.headers["www-authenticate"].startswith("Bearer")


def flask_app() -> flask.Flask:
    app = flask.Flask("guarded")

    @app.post("/v1/chat/completions")
    def chat() -> Any:
        return {"echo": flask.request.get_json()}

    return app


def test_the_flask_example_guards_an_app(world: World) -> None:
    app = flask_app()
    with background() as loop, held(loop, serving(make_servicer(world).handlers())) as target:
        gate = example("Flask", target, app=app, request=flask.request)["gate"]
        with gate:
            http = app.test_client()
            headers = dict([world.credential("fred")])
            options: dict[str, Any] = {"json": {"model": "small"}, "base_url": f"http://{HOST}"}
            answers = [http.post("/v1/chat/completions", headers=headers, **options) for _ in range(3)]
            anonymous = http.post("/v1/chat/completions", **options)

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].get_json() == {"echo": {"model": "small"}}
    assert answers[2].get_json()["error"]["code"] == "rate_limit_exceeded"
    assert answers[2].content_type == "application/json"
    assert anonymous.status_code == 401


def test_an_app_is_closed_when_the_service_is_gone(world: World) -> None:
    app = flask_app()
    with example("Flask", f"127.0.0.1:{free_port()}", app=app, request=flask.request)["gate"]:
        answer = app.test_client().post("/v1/chat/completions", json={"model": "small"})
    assert answer.status_code == 503
    assert answer.get_json()["error"]["code"] == "policy_unavailable"


def test_the_in_process_engine_takes_the_clients_place(world: World) -> None:
    app = flask_app()
    with LocalPolicySync(world.path, key_pepper=PEPPER) as gate:

        @app.before_request
        def policy() -> Any:
            verdict = gate.decide(**from_wsgi(flask.request.environ), body=flask.request.get_data())
            return None if verdict.allowed else (verdict.body, verdict.status, verdict.headers)

        http = app.test_client()
        options: dict[str, Any] = {"json": {"model": "small"}, "base_url": f"http://{HOST}"}
        headers = dict([world.credential("fred")])
        assert http.post("/v1/chat/completions", headers=headers, **options).status_code == 200
        assert http.post("/v1/chat/completions", **options).status_code == 401


async def test_the_in_process_engine_guards_fastapi(world: World) -> None:
    async with LocalPolicy(world.path, key_pepper=PEPPER) as gate:
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/chat/completions",
            "raw_path": b"/v1/chat/completions",
            "query_string": b"",
            "headers": [(b"host", HOST.encode()), *[(k.encode(), v.encode()) for k, v in [world.credential("paul")]]],
            "client": ("192.0.2.7", 4711),
        }
        assert (await gate.decide(**from_asgi(scope), body=b'{"model": "large"}')).allowed


@pytest.mark.parametrize(
    ("raw", "path", "expected"),
    [
        (b"/a%20b", "/a b", "/a%20b"),
        (b"/a%2Fb", "/a/b", "/a%2Fb"),  # the service sees what was sent, and refuses
        (b"/%2561", "/%61", "/%2561"),  # decoded once by the application, and once by the service
        (None, "/%61", "/%2561"),
        (None, "/a b\u00fc", "/a%20b%C3%BC"),
        (b"/old", "/rewritten", "/rewritten"),  # a middleware changed the path that is routed by
        (b"/%ff", "/\ufffd", "/%EF%BF%BD"),
        (b"/a;b", "/a;b", "/a;b"),
    ],
)
def test_the_path_that_is_judged_is_the_path_that_is_routed(raw: bytes | None, path: str, expected: str) -> None:
    scope = {"method": "GET", "path": path, "raw_path": raw, "query_string": b"q=%20", "headers": [], "client": None}

    arguments = from_asgi(scope)

    assert arguments["path"] == expected
    assert (arguments["query"], arguments["host"], arguments["client_ip"]) == ("q=%20", "", "")


def test_asgi_headers_keep_duplicates() -> None:
    scope = {
        "method": "GET",
        "path": "/",
        "headers": [(b"host", b"h"), (b"authorization", b"one"), (b"authorization", b"two"), (b"x-b", b"\xe9")],
        "client": ("192.0.2.1", 1),
        "scheme": "https",
    }
    arguments = from_asgi(scope)
    assert arguments["scheme"] == "https"
    assert arguments["headers"] == [
        ("host", "h"),
        ("authorization", "one"),
        ("authorization", "two"),
        ("x-b", "\u00e9"),
    ]
    assert arguments["client_ip"] == "192.0.2.1"


def test_wsgi_is_read_back() -> None:
    environ = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "/app",
        "PATH_INFO": "/a b\u00c3\u00bc",  # UTF-8 as latin-1, as WSGI has it
        "QUERY_STRING": "q=1",
        "HTTP_HOST": "h:80",
        "HTTP_X_THING": "1",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": "",
        "REMOTE_ADDR": "192.0.2.1",
        "wsgi.input": None,
        "wsgi.url_scheme": "https",
    }
    assert from_wsgi(environ) == {
        "method": "POST",
        "path": "/app/a%20b%C3%BC",
        "host": "h:80",
        "query": "q=1",
        "headers": [("host", "h:80"), ("x-thing", "1"), ("content-type", "application/json")],
        "client_ip": "192.0.2.1",
        "scheme": "https",
    }
