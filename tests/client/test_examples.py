"""The examples run as they say they are run, and do what they are there to show."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fastapi
import httpx
import pytest
from fastapi.testclient import TestClient
from tidegate.demo.materials import Materials, make_materials
from tidegate.policy import load_policy

from tests.client.sites import text_of
from tests.client.world import World, background, free_port, held, make_servicer, serving

EXAMPLES = Path(__file__).resolve().parents[2] / "clients/python/examples"
CHAT = {"model": "small", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture(scope="module")
def materials(tmp_path_factory: pytest.TempPathFactory) -> Materials:
    return make_materials(Path(tmp_path_factory.mktemp("materials")))


@contextmanager
def running(name: str, directory: Path, **environment: str) -> Iterator[httpx.Client]:
    """An example, started by the command in its docstring; only its port is another."""
    line = next(line for line in (EXAMPLES / name).read_text().splitlines() if "8000" in line)
    port = free_port()
    words = shlex.split(line.replace("8000", str(port)))
    command = [word for word in words if "=" not in word]
    assert {word.partition("=")[0] for word in words if "=" in word} == environment.keys()
    command[0] = str(Path(sys.executable).parent / command[0])
    full = {**os.environ, **environment, "PYTHONPATH": str(EXAMPLES)}
    with (
        subprocess.Popen(command, cwd=directory, env=full) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as http,
    ):
        try:
            end = time.monotonic() + 60
            while True:
                try:
                    http.get("/healthz")
                    break
                except httpx.ConnectError:
                    assert process.poll() is None, f"{name} ended"
                    assert time.monotonic() < end, f"{name} does not listen"
            yield http
        finally:
            process.terminate()


def test_the_readmes_lines_put_a_policy_in_front_of_an_app() -> None:
    app = fastapi.FastAPI()
    (lines,) = re.findall(r"```python\n(.*?)```", (EXAMPLES.parents[2] / "README.md").read_text(), re.DOTALL)
    exec(lines.replace("tidegate:9401", f"127.0.0.1:{free_port()}"), {"app": app})
    assert TestClient(app).get("/").status_code == 503


def test_three_lines_guard_a_fastapi_app(materials: Materials, tmp_path: Path) -> None:
    policy = load_policy(materials.policy)
    world = World(materials.policy, policy, materials.keys)
    pepper = materials.pepper.read_bytes()
    with (
        background() as loop,
        held(loop, serving(make_servicer(world, pepper=pepper).handlers())) as target,
        running("fastapi_app.py", tmp_path, TIDEGATE=target) as http,
    ):
        headers = dict([world.credential("frida")])
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
