"""The examples run as they say they are run, and do what they are there to show."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import fastapi
import httpx
import pytest
from fastapi.testclient import TestClient
from tidegate.demo.materials import Materials, make_materials

from tests.client.sites import text_of
from tests.client.world import free_port

EXAMPLES = Path(__file__).resolve().parents[2] / "clients/python/examples"
CHAT = {"model": "small", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture(scope="module")
def materials(tmp_path_factory: pytest.TempPathFactory) -> Materials:
    return make_materials(Path(tmp_path_factory.mktemp("materials")))


@contextmanager
def process(command: list[str], directory: Path, port: int, **environment: str) -> Iterator[None]:
    """A program of this environment, from when it listens on `port`."""
    command = [str(Path(sys.executable).parent / command[0]), *command[1:]]
    full = {**os.environ, **environment, "PYTHONPATH": str(EXAMPLES)}
    with subprocess.Popen(command, cwd=directory, env=full, stderr=subprocess.DEVNULL) as program:
        try:
            end = time.monotonic() + 180
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except ConnectionRefusedError:
                    with suppress(subprocess.TimeoutExpired):  # its processor time is what is waited for
                        program.wait(0.05)
                    assert program.poll() is None, f"{command[0]} ended"
                    assert time.monotonic() < end, f"{command[0]} does not listen"
            yield
        finally:
            program.terminate()


@contextmanager
def running(name: str, directory: Path, **environment: str) -> Iterator[httpx.Client]:
    """An example, started by the command in its docstring; only its port is another."""
    line = next(line for line in (EXAMPLES / name).read_text().splitlines() if "8000" in line)
    port = free_port()
    words = shlex.split(line.replace("8000", str(port)))
    assert {word.partition("=")[0] for word in words if "=" in word} == environment.keys()
    with (
        process([word for word in words if "=" not in word], directory, port, **environment),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as http,
    ):
        yield http


@contextmanager
def service(materials: Materials, directory: Path) -> Iterator[str]:
    """A real `tidegate serve`; its address."""
    port, metrics = free_port(), free_port()
    flags = {"policy": materials.policy, "key-pepper-file": materials.pepper, "store": "memory://"}
    flags |= {"listen": f"127.0.0.1:{port}", "metrics": f"127.0.0.1:{metrics}", "health-grace": "0"}
    with process(["tidegate", "serve", *(f"--{name}={value}" for name, value in flags.items())], directory, port):
        yield f"127.0.0.1:{port}"


def test_the_readmes_lines_put_a_policy_in_front_of_an_app() -> None:
    app = fastapi.FastAPI()
    (lines,) = re.findall(r"```python\n(.*?)```", (EXAMPLES.parents[2] / "README.md").read_text(), re.DOTALL)
    exec(lines.replace("tidegate:9401", f"127.0.0.1:{free_port()}"), {"app": app})
    assert TestClient(app).get("/").status_code == 503


def test_three_lines_guard_a_fastapi_app(materials: Materials, tmp_path: Path) -> None:
    with (
        service(materials, tmp_path) as target,
        running("fastapi_app.py", tmp_path, TIDEGATE=target) as http,
    ):
        headers = {"authorization": f"Bearer {materials.keys['frida']}"}
        answer = http.post("/v1/chat/completions", headers=headers, json=CHAT)
        anonymous = http.post("/v1/chat/completions", json=CHAT)
        large = http.post("/v1/chat/completions", headers=headers, json=CHAT | {"model": "large"})
    assert answer.status_code == 200
    assert "bob@example.com" not in text_of(answer.text)
    assert text_of(answer.text).startswith("Write to ")
    assert answer.text.endswith("data: [DONE]\n\n")
    assert [(refused.status_code, "error" in refused.json()) for refused in (anonymous, large)] == [
        (401, True),
        (403, True),
    ]


def test_the_sentiment_api_needs_no_envoy_and_no_service(materials: Materials, tmp_path: Path) -> None:
    environment = {"POLICY": str(materials.policy), "PEPPER": str(materials.pepper)}
    with running("sentiment_app.py", tmp_path, **environment) as http:
        asked = {"text": "Ada loves it, write to ada@example.com"}
        headers = {"authorization": f"Bearer {materials.keys['paul']}"}
        answer = http.post("/api/sentiment", headers=headers, json=asked)
        token = http.post("/api/sentiment", headers={"authorization": f"Bearer {materials.token()}"}, json=asked)
        anonymous = http.post("/api/sentiment", json=asked)
        assert http.get("/healthz").text == "ok"
    for passed in (answer, token):
        assert passed.status_code == 200
        assert passed.json()["label"] == "positive"
        assert "ada@example.com" not in passed.text
        assert "ratelimit" in passed.headers
    assert (anonymous.status_code, anonymous.headers["content-type"]) == (401, "application/problem+json")
