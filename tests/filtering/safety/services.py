"""Moderation services on loopback, by their published schemas: strict about what is asked, and lying on demand."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs, urlsplit

from openai.types import ModerationCreateResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

KEY = "made-up-key-of-nobody"
OPENAI_KINDS = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
    "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip
AZURE_KINDS = ("Hate", "SelfHarm", "Sexual", "Violence")
# What the services find, by the word that a passage has.
OPENAI_WORDS = {"zorb": "hate", "idiot": "harassment/threatening", "stab": "violence", "noose": "self-harm/intent"}
AZURE_WORDS = {"zorb": ("Hate", 6), "stab": ("Violence", 4), "noose": ("SelfHarm", 4), "bruise": ("Violence", 2)}


class OpenAiAsked(BaseModel):
    """CreateModerationRequest with an array of strings."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: Literal["omni-moderation-latest"]
    input: Annotated[list[str], Field(min_length=1)]


class AzureAsked(BaseModel):
    """AnalyzeTextOptions of 2024-09-01."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: Annotated[str, StringConstraints(min_length=1, max_length=10_000)]
    categories: list[Literal["Hate", "SelfHarm", "Sexual", "Violence"]] | None = None
    blocklistNames: list[str] | None = None  # noqa: N815
    haltOnBlocklistHit: bool | None = None  # noqa: N815
    outputType: Literal["FourSeverityLevels", "EightSeverityLevels"] | None = None  # noqa: N815


@dataclass
class Reply:
    """What is answered in place of a judgement. `holds` waits until the service closes before it says anything."""

    status: int = 200
    body: bytes | Callable[[bytes], bytes] = b""
    headers: dict[str, str] = field(default_factory=dict)
    holds: bool = False
    drips: bool = False


@dataclass
class Service:
    """A running service. `script` is used up first; `asked` has the texts of each call that was in order."""

    port: int
    script: list[Reply] = field(default_factory=list)
    always: Reply | None = None
    asked: list[list[str]] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def openai_result(text: str) -> dict[str, Any]:
    found = {kind for word, kind in OPENAI_WORDS.items() if word in text.lower()}
    return {
        "flagged": bool(found),
        "categories": {kind: kind in found for kind in OPENAI_KINDS},
        "category_scores": {kind: 0.8 if kind in found else 0.01 for kind in OPENAI_KINDS},
        "category_applied_input_types": {kind: ["text"] for kind in OPENAI_KINDS},
    }


def openai_answer(texts: list[str]) -> bytes:
    document = {"id": "modr-1", "model": "omni-moderation-latest", "results": [openai_result(text) for text in texts]}
    ModerationCreateResponse.model_validate(document, strict=True)
    return json.dumps(document).encode()


def azure_answer(text: str) -> bytes:
    found = dict(worst for word, worst in AZURE_WORDS.items() if word in text.lower())
    analysis = [{"category": kind, "severity": found.get(kind, 0)} for kind in AZURE_KINDS]
    return json.dumps({"blocklistsMatch": [], "categoriesAnalysis": analysis}).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: Service

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""

    def do_GET(self) -> None:
        self.service.paths.append(self.path)
        self._send(Reply(200, b"{}"), b"")

    def do_POST(self) -> None:
        service = self.service
        service.paths.append(self.path)
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            texts, answer = self._judged(body)
        except (ValidationError, ValueError, KeyError) as error:
            service.bad.append(str(error))
            self._send(Reply(400, b'{"error": {"code": "InvalidRequestBody", "message": "bad"}}'), body)
            return
        service.asked.append(texts)
        reply = service.script.pop(0) if service.script else service.always
        self._send(reply or Reply(200, answer), body)

    def _judged(self, body: bytes) -> tuple[list[str], bytes]:
        where = urlsplit(self.path)
        if where.path == "/v1/moderations":
            if self.headers["authorization"] != f"Bearer {KEY}":
                raise ValueError("no key")
            asked = OpenAiAsked.model_validate_json(body)
            return asked.input, openai_answer(asked.input)
        if where.path != "/contentsafety/text:analyze" or parse_qs(where.query) != {"api-version": ["2024-09-01"]}:
            raise ValueError("no such path")
        if self.headers["ocp-apim-subscription-key"] != KEY:
            raise ValueError("no key")
        text = AzureAsked.model_validate_json(body).text
        return [text], azure_answer(text)

    def _send(self, reply: Reply, asked: bytes) -> None:
        if reply.holds:
            self.service.over.wait(30)
            self.close_connection = True
            return
        body = reply.body(asked) if callable(reply.body) else reply.body
        self.send_response(reply.status)
        for name, value in {
            "content-type": "application/json",
            "content-length": str(len(body)),
            **reply.headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            if reply.drips:
                for at in range(len(body)):
                    self.wfile.write(body[at : at + 1])
                    self.wfile.flush()
                    if self.service.over.wait(0.05):
                        return
            else:
                self.wfile.write(body)
        except OSError:
            self.close_connection = True  # the caller has had enough


@contextmanager
def running_service() -> Iterator[Service]:
    """Both services on one port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    service = Service(server.server_address[1])
    server.RequestHandlerClass = type("Handler", (_Handler,), {"service": service})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        service.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
