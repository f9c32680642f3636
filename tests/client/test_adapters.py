"""A model app behind an adapter alone has what it has behind Envoy: real servers, every engine."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from tidegate_client import (
    AsyncTidegate,
    Breaker,
    LocalPolicySync,
    ResponseCutOff,
    Tidegate,
    TidegateAsgi,
    TidegateWsgi,
)

from tests.client.sites import POLICY, SECRET, SITES, Site, site_of, text_of, uvicorn_site, waitress_site
from tests.client.world import HOST, PEPPER, World, background, free_port, held, make_servicer, make_world, serving

CUT_OFF = (httpx.RemoteProtocolError, httpx.ReadError)
OPTIONS = {"max_body": 4096, "unguarded": ["/healthz"]}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(Path(tmp_path_factory.mktemp("site")), POLICY)


@pytest.fixture(params=SITES)
def site(request: pytest.FixtureRequest, world: World) -> Iterator[Site]:
    with site_of(request.param, world, **OPTIONS) as site:
        yield site


def until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """Whether it came true in time; asked without rest, for each question is a request that takes its time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
    return True


def place_is_free(site: Site, path: str = "/v1/chat/completions") -> bool:
    """Both endpoints let one run at once: whether the one before is over."""
    site.model.json({"ok": True})
    return until(lambda: site.ask(path=path).status_code == 200)


def test_a_request_is_decided_before_the_app_and_refused_in_the_callers_format(site: Site) -> None:
    site.model.json({"ok": True})
    anonymous = site.ask(subject="")
    assert anonymous.status_code == 401
    assert anonymous.json()["error"]["code"] == "credential_missing"
    assert anonymous.headers["www-authenticate"].startswith("Bearer")
    assert anonymous.headers["content-length"] == str(len(anonymous.content))
    problem = site.ask(subject="", path="/api/score")
    assert (problem.status_code, problem.headers["content-type"]) == (401, "application/problem+json")
    assert site.ask(json={"model": "large"}).status_code == 403
    assert site.model.seen == []


def test_the_app_sees_the_caller_and_no_credential(site: Site) -> None:
    site.model.json({"ok": True})
    spoofed = {"x-tidegate-subject": "root", "x-tidegate-admin": "1", "range": "bytes=0-3", "x-kept": "yes"}
    body = {"model": "small", "messages": [{"role": "user", "content": "b\u00fccher"}]}
    assert site.ask(headers=spoofed, json=body).status_code == 200
    headers, seen = site.model.seen[0]
    assert json.loads(seen) == body
    ours = {name: value for name, value in headers.items() if name.startswith("x-tidegate-")}
    names = ("subject", "tenant", "tier", "endpoint")
    values = ("frida", "acme", "free", "chat")
    assert ours == {f"x-tidegate-{name}": value for name, value in zip(names, values, strict=True)}
    assert headers["x-kept"] == "yes"
    assert not {"authorization", "range", "accept-encoding"} & headers.keys()


def test_a_document_is_rewritten_and_its_head_is_true(site: Site) -> None:
    site.model.json({"id": 7, "text": "mail bob@example.com"})
    site.model.headers["ratelimit"] = '"mine";r=999'
    answer = site.ask(subject="paul")
    assert answer.json() == {"id": 7, "text": "mail [EMAIL]"}
    assert "etag" not in answer.headers
    assert answer.headers.get("content-length") in (None, str(len(answer.content)))
    assert answer.headers["x-tidegate-coverage"].startswith("format=json")
    assert '"tpm";r=' in answer.headers["ratelimit"]
    assert "mine" not in answer.headers["ratelimit"]
    assert "x-ratelimit-remaining-tokens" in answer.headers


def test_a_stream_is_rewritten_while_it_comes(site: Site) -> None:
    gate = threading.Event()
    site.model.sse("Hello there, ", "write to bob@exam", gate, "ple.com now. ", "Bye ", "[DONE]")
    with site.stream() as answer:
        assert answer.status_code == 200
        assert "content-length" not in answer.headers
        parts = answer.iter_text()
        early = ""
        while "Hello there" not in early:
            early += next(parts)
        assert "bob" not in early
        assert not gate.is_set()
        gate.set()
        whole = early + "".join(parts)
    assert text_of(whole) == "Hello there, write to [EMAIL] now. Bye "
    assert whole.endswith("data: [DONE]\n\n")


def test_a_blocked_document_is_a_refusal_and_nothing_of_it_leaves(site: Site) -> None:
    site.model.json({"text": f"key {SECRET}"})
    answer = site.ask()
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "content_blocked"
    assert SECRET not in answer.text
    assert place_is_free(site)


def test_a_blocked_stream_ends_in_its_own_format_and_the_app_is_told_to_stop(site: Site) -> None:
    site.model.sse("One. ", f"Two {SECRET} three. ", *["More. "] * 500)
    with site.stream() as answer:
        whole = answer.read().decode()
    assert SECRET not in whole
    assert "content_blocked" in whole
    assert whole.endswith("data: [DONE]\n\n")
    written = site.model.written
    assert written < 10
    assert place_is_free(site)


@pytest.mark.parametrize(
    ("kind", "body", "extra"),
    [
        ("application/json", b'{"text": ', {}),
        ("image/png", b"\x89PNG", {}),
        ("application/json", b"{}", {"content-encoding": "gzip"}),
        ("application/json", b"{}\x00\x01", {"inference-header-content-length": "2"}),
    ],
)
def test_what_cannot_be_checked_is_withheld(site: Site, kind: str, body: bytes, extra: dict[str, str]) -> None:
    site.model.headers = {"content-type": kind, **extra}
    site.model.steps = [body]
    answer = site.ask()
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "response_withheld"
    assert body not in answer.content
    assert place_is_free(site)


def test_a_text_that_goes_wrong_once_it_has_begun_is_cut_off(site: Site) -> None:
    site.model.headers = {"content-type": "text/plain"}
    site.model.steps = [b"plain words that may leave. " * 10, b"\xff\xfe", b" more"]
    with pytest.raises(CUT_OFF), site.stream() as answer:
        answer.read()
    assert place_is_free(site)


def test_a_response_without_a_body_passes(site: Site) -> None:
    site.model.status, site.model.headers, site.model.steps = 204, {}, []
    assert site.ask().status_code == 204
    site.model.status = 200
    site.model.json({"ok": True})
    head = site.ask(path="/api/score", method="HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert place_is_free(site, "/api/score")


def test_while_one_runs_its_place_is_taken_and_then_it_is_free(site: Site) -> None:
    for path, status in (("/v1/chat/completions", 429), ("/api/score", 503)):
        gate = threading.Event()
        site.model.sse("One. ", gate, "Two. ", "[DONE]")
        with site.stream(path=path) as answer:
            parts = answer.iter_text()
            next(parts)
            refused = site.ask(path=path)
            assert refused.status_code == status
            assert "retry-after" in refused.headers
            gate.set()
            assert "".join(parts).endswith("data: [DONE]\n\n")
        assert place_is_free(site, path)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/score"])
def test_a_client_that_leaves_gives_its_place_back(site: Site, path: str) -> None:
    gate = threading.Event()
    site.model.sse("One. ", gate, *["More words. "] * 2000)
    with site.stream(path=path) as answer:
        next(answer.iter_text())
    gate.set()
    assert place_is_free(site, path)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/score"])
def test_an_app_that_fails_gives_its_place_back(site: Site, path: str) -> None:
    site.model.steps = [RuntimeError("made up")]
    assert site.ask(path=path).status_code == 500
    site.model.sse("One. ", RuntimeError("made up"))
    with pytest.raises(CUT_OFF), site.stream(path=path) as answer:
        answer.read()
    assert place_is_free(site, path)


def remaining(site: Site) -> int:
    site.model.json({"usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}})
    answer = site.ask(subject="paul", json={"model": "small", "max_tokens": 1})
    return int(answer.headers["x-ratelimit-remaining-tokens"])


def test_what_was_reserved_is_settled_by_the_usage_of_the_response(site: Site) -> None:
    usage = {"prompt_tokens": 30, "completion_tokens": 70, "total_tokens": 100}
    site.model.json({"choices": [{"message": {"content": "short"}}], "usage": usage})
    asked = {"model": "small", "max_tokens": 500}
    first = site.ask(subject="paul", json=asked)
    assert int(first.headers["x-ratelimit-remaining-tokens"]) <= 1500
    left = remaining(site)
    assert 1890 <= left <= 1900
    site.model.steps = [RuntimeError("made up")]
    assert site.ask(subject="paul", json=asked).status_code == 500
    assert remaining(site) == left  # an error costs no tokens, and neither did the look before


def test_a_body_over_the_cap_is_judged_as_cut_and_handed_on_whole(site: Site) -> None:
    site.model.json({"ok": True})
    large = json.dumps({"model": "small", "pad": "x" * 300_000}).encode()
    refused = site.ask(content=large)
    assert refused.status_code in (403, 413)
    assert site.model.seen == []
    passed = site.ask(path="/api/score", content=large)
    assert passed.status_code == 200
    assert site.model.seen[0][1] == large
    pieces = site.ask(path="/api/score", content=iter([large[:10], large[10:5000], large[5000:]]))
    assert pieces.status_code == 200
    assert site.model.seen[1][1] == large


def test_health_checks_pass_unseen_and_nothing_that_looks_like_them(site: Site) -> None:
    site.model.json({"ok": True})
    assert site.ask(subject="", path="/healthz", method="GET").status_code == 200
    for path in ("/healthz/", "//healthz", "/healthzz"):
        assert site.ask(subject="", path=path, method="GET").status_code in (400, 401, 404)
    assert len(site.model.seen) == 1


@pytest.mark.parametrize("framework", ["fastapi", "flask"])
def test_a_service_that_is_gone_is_a_refusal(world: World, framework: str) -> None:
    target = f"127.0.0.1:{free_port()}"
    with ExitStack() as stack:
        loop = stack.enter_context(background())
        if framework == "fastapi":
            gate: Any = stack.enter_context(held(loop, AsyncTidegate(target, timeout=0.3)))
            site = stack.enter_context(uvicorn_site(loop, world, gate))
        else:
            site = stack.enter_context(waitress_site(world, stack.enter_context(Tidegate(target, timeout=0.3))))
        answer, problem = site.ask(), site.ask(path="/api/score")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "policy_unavailable")
    assert (problem.status_code, problem.json()["code"]) == (503, "policy_unavailable")
    assert site.model.seen == []


@pytest.mark.parametrize("framework", ["fastapi", "flask"])
def test_what_is_let_pass_unchecked_is_nobody(world: World, framework: str) -> None:
    """The caller chose "allow": the app runs, and learns of no identity, least of all of one that a client made up."""
    breaker = Breaker(failures=1, cooldown=60, when_open="allow")
    options: dict[str, Any] = {"timeout": 0.3, "on_unavailable": "deny", "breaker": breaker}
    target = f"127.0.0.1:{free_port()}"
    with ExitStack() as stack:
        loop = stack.enter_context(background())
        if framework == "fastapi":
            gate: Any = stack.enter_context(held(loop, AsyncTidegate(target, **options)))
            site = stack.enter_context(uvicorn_site(loop, world, gate))
        else:
            site = stack.enter_context(waitress_site(world, stack.enter_context(Tidegate(target, **options))))
        site.model.json({"ok": True})
        assert site.ask().status_code == 503
        answer = site.ask(headers={"x-tidegate-subject": "root"})
    assert (answer.status_code, answer.json()) == (200, {"ok": True})
    assert not [name for name in site.model.seen[0][0] if name.startswith("x-tidegate-")]


@pytest.mark.parametrize("framework", ["fastapi", "flask"])
def test_a_service_that_dies_while_a_stream_runs_cuts_it_off(world: World, framework: str) -> None:
    event = threading.Event()
    with ExitStack() as stack:
        loop = stack.enter_context(background())
        service = ExitStack()
        target = service.enter_context(held(loop, serving(make_servicer(world).handlers())))
        if framework == "fastapi":
            gate: Any = stack.enter_context(held(loop, AsyncTidegate(target, timeout=5)))
            site = stack.enter_context(uvicorn_site(loop, world, gate))
        else:
            site = stack.enter_context(waitress_site(world, stack.enter_context(Tidegate(target, timeout=5))))
        site.model.sse("One. ", event, "bob@example.com ", "[DONE]")
        received = ""
        with pytest.raises(CUT_OFF), site.stream() as answer:
            for part in answer.iter_text():
                received += part
                service.close()
                event.set()
    assert text_of(received).startswith("One")
    assert "bob" not in received
    assert "[DONE]" not in received


@pytest.mark.parametrize("kind", ["webtransport", "made.up"])
async def test_what_is_no_http_request_does_not_reach_the_app(kind: str, world: World) -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    async def nothing() -> Any: ...

    gate = TidegateAsgi(app, AsyncTidegate(f"127.0.0.1:{free_port()}"))
    await gate({"type": "lifespan"}, nothing, nothing)  # type: ignore[arg-type]
    with pytest.raises(ResponseCutOff):
        await gate({"type": kind, "path": "/healthz", "headers": []}, nothing, nothing)  # type: ignore[arg-type]
    assert seen == ["lifespan"]


def test_a_flask_app_is_not_handed_a_connection_to_upgrade(world: World) -> None:
    """What flask-sock and its like look for: a WebSocket's messages would go around the rules."""
    seen: list[set[str]] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        seen.append(set(environ))
        start_response("200 OK", [("content-type", "application/json")])
        return [b"{}"]

    environ = {
        "REQUEST_METHOD": "GET", "PATH_INFO": "/api/score", "HTTP_HOST": HOST, "wsgi.input": io.BytesIO(),
        "HTTP_AUTHORIZATION": world.credential("frida")[1], "HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "Upgrade",
        "werkzeug.socket": object(), "gunicorn.socket": object(), "wsgi.file_wrapper": object(),
    }  # fmt: skip
    with LocalPolicySync(world.path, key_pepper=PEPPER) as gate:
        answer = TidegateWsgi(app, gate)(environ, lambda *_: None)
        assert b"".join(answer) == b"{}"
        answer.close()  # type: ignore[attr-defined]
    assert seen
    assert not seen[0] & {"werkzeug.socket", "gunicorn.socket", "wsgi.file_wrapper", "HTTP_UPGRADE"}
