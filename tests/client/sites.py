"""A model app on a real server, FastAPI on uvicorn or Flask on waitress, behind its adapter and nothing else."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import fastapi
import flask
import httpx
import uvicorn
import waitress.server
import waitress.wasyncore
from fastapi.responses import StreamingResponse
from tidegate_client import TidegateAsgi, TidegateWsgi
from tidegate_client.background import Background

from tests.client.world import HOST, World, background, free_port, gate_of

POLICY = """
version: 1
platform:
  identity:
    api_keys: {header: authorization, file: keys.yaml}
  floor:
    rulesets: [secrets]
tiers:
  free: {}
  premium:
    limits: [{name: tpm, algorithm: sliding_window, limit: 2000, window: 60s, per: [subject], cost: tokens}]
classifications:
  restricted: {rulesets: [pii]}
rulesets:
  secrets: [{detect: [AWS_KEY], act: block}]
  pii: [{detect: [EMAIL], act: redact}]
tenants:
  acme:
    grants: [{role: analyst, endpoints: "*"}]
endpoints:
  chat:
    owner: acme
    match: {hosts: ["*"], path: /v1/chat/completions, methods: [POST]}
    model: {from: body.model, allowed: {free: [small], premium: [small, large]}}
    classification: restricted
    limits: [{name: running, algorithm: concurrency, limit: 1}]
  score:
    owner: acme
    match: {hosts: ["*"], path: /api/score, methods: [POST, GET, HEAD]}
    classification: restricted
    capacity: {concurrent: 1, queue: 0}
"""

SECRET = "AKIA" + "Q7WERTY2UIOP3ASD"  # made up


@dataclass
class Model:
    """What the app is to answer, and what it saw. A step is bytes to write, an event to wait for, or a failure."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    steps: list[bytes | threading.Event | Exception] = field(default_factory=list)
    seen: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    written: int = 0

    def sse(self, *steps: str | threading.Event | Exception) -> None:
        """Answer a chat stream of these deltas."""
        self.headers = {"content-type": "text/event-stream", "content-length-hint": "none"}
        self.steps = [event(step) if isinstance(step, str) else step for step in steps]

    def json(self, document: Any) -> None:
        """Answer a document."""
        body = json.dumps(document).encode()
        self.headers = {"content-type": "application/json", "content-length": str(len(body)), "etag": '"1"'}
        self.steps = [body]


def event(delta: str) -> bytes:
    """One event of OpenAI's chat; "[DONE]" and an empty delta with a stop are themselves."""
    if delta == "[DONE]":
        return b"data: [DONE]\n\n"
    choice = {"index": 0, "delta": {"content": delta}, "finish_reason": None}
    return f"data: {json.dumps({'object': 'chat.completion.chunk', 'choices': [choice]})}\n\n".encode()


def text_of(sse: str) -> str:
    """The text of a chat stream."""
    lines = [line[6:] for line in sse.splitlines() if line.startswith("data: {")]
    choices = [json.loads(line).get("choices") or [{}] for line in lines]
    return "".join(choice[0].get("delta", {}).get("content") or "" for choice in choices)


def fastapi_app(model: Model) -> fastapi.FastAPI:
    app = fastapi.FastAPI()

    @app.api_route("/v1/chat/completions", methods=["POST"])
    @app.api_route("/api/score", methods=["POST", "GET", "HEAD"])
    @app.get("/healthz")
    async def answer(request: fastapi.Request) -> Any:
        model.seen.append((dict(request.headers), await request.body()))
        if model.steps and isinstance(model.steps[0], Exception):
            raise model.steps[0]

        async def chunks() -> AsyncIterator[bytes]:
            model.written = 0
            for step in model.steps:
                if isinstance(step, threading.Event):
                    await asyncio.to_thread(step.wait, 20)
                elif isinstance(step, Exception):
                    raise step
                else:
                    model.written += 1
                    yield step

        return StreamingResponse(chunks(), model.status, model.headers)

    return app


def flask_app(model: Model) -> flask.Flask:
    app = flask.Flask("site")

    @app.post("/v1/chat/completions")
    @app.route("/api/score", methods=["POST", "GET", "HEAD"])
    @app.get("/healthz")
    def answer() -> Any:
        headers = {name.lower(): value for name, value in flask.request.headers.items()}
        model.seen.append((headers, flask.request.get_data()))
        if model.steps and isinstance(model.steps[0], Exception):
            raise model.steps[0]

        def chunks() -> Iterator[bytes]:
            model.written = 0
            for step in model.steps:
                if isinstance(step, threading.Event):
                    step.wait(20)
                elif isinstance(step, Exception):
                    raise step
                else:
                    model.written += 1
                    yield step

        return flask.Response(chunks(), model.status, model.headers)

    return app


@dataclass
class Site:
    """A served app: `http` talks to it."""

    model: Model
    http: httpx.Client
    world: World

    def ask(self, subject: str = "frida", path: str = "/v1/chat/completions", **options: Any) -> httpx.Response:
        method = options.pop("method", "POST")
        return self.http.request(method, path, **self._options(subject, options))

    def stream(self, subject: str = "frida", path: str = "/v1/chat/completions", **options: Any) -> Any:
        return self.http.stream("POST", path, **self._options(subject, options))

    def _options(self, subject: str, options: dict[str, Any]) -> dict[str, Any]:
        headers = {"host": HOST, **options.pop("headers", {})}
        if subject:
            headers |= dict([self.world.credential(subject)])
        if not {"content", "json"} & options.keys():
            options["json"] = {"model": "small", "messages": [{"role": "user", "content": "hello"}]}
        return {"headers": headers, **options}


def client(port: int) -> httpx.Client:
    """One connection a request: servers close those on which something failed."""
    return httpx.Client(
        base_url=f"http://127.0.0.1:{port}", timeout=20, limits=httpx.Limits(max_keepalive_connections=0)
    )


@contextmanager
def uvicorn_site(loop: Background, world: World, gate: Any, **options: Any) -> Iterator[Site]:
    model, port = Model(), free_port()
    app = fastapi_app(model)
    app.add_middleware(TidegateAsgi, gate=gate, **options)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="critical", lifespan="off"))
    serving = loop.run(_start(server))
    try:
        with client(port) as http:
            yield Site(model, http, world)
    finally:
        server.force_exit = server.should_exit = True
        loop.run(_wait(serving))


@contextmanager
def waitress_site(world: World, gate: Any, **options: Any) -> Iterator[Site]:
    model = Model()
    app = flask_app(model)
    app.wsgi_app = TidegateWsgi(app.wsgi_app, gate=gate, **options)  # type: ignore[method-assign]
    sockets: dict[int, Any] = {}
    server = waitress.server.create_server(
        app, map=sockets, host="127.0.0.1", port=0, threads=4, clear_untrusted_proxy_headers=False
    )
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            waitress.wasyncore.loop(timeout=0.05, count=1, map=sockets)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        with client(server.effective_port) as http:
            yield Site(model, http, world)
    finally:  # the workers first: they write to what the loop reads
        server.task_dispatcher.shutdown(timeout=10)
        stop.set()
        thread.join(10)
        waitress.wasyncore.close_all(sockets)


SITES = ("fastapi network", "fastapi local", "flask network", "flask local")


@contextmanager
def site_of(kind: str, world: World, **options: Any) -> Iterator[Site]:
    """One of `SITES`, whose limits nobody has used yet."""
    framework, _, where = kind.partition(" ")
    with ExitStack() as stack:
        enter = stack.enter_context
        loop = enter(background())
        gate = enter(gate_of(loop, world, awaits=framework == "fastapi", network=where == "network"))
        if framework == "fastapi":
            yield enter(uvicorn_site(loop, world, gate, **options))
        else:
            yield enter(waitress_site(world, gate, **options))


async def _start(server: uvicorn.Server) -> asyncio.Task[None]:
    serving = asyncio.create_task(server.serve())
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    return serving


async def _wait(task: asyncio.Task[None]) -> None:
    await asyncio.wait((task,), timeout=10)
