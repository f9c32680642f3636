"""The whole demo as a newcomer runs it: real Envoy, real Redis, real processes."""

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from tidegate.demo.scenarios import all_scenarios

pytestmark = pytest.mark.e2e
COMMAND = [sys.executable, "-m", "tidegate", "demo"]


@pytest.mark.parametrize(("store", "processes"), [("memory", 1), ("redis", 2)])
def test_every_row_is_as_expected(store, processes, tmp_path):
    done = subprocess.run(
        [*COMMAND, "--store", store], capture_output=True, text=True, timeout=150, env=_environment(tmp_path)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = all_scenarios(processes)
    assert f"all {len(rows)} as expected" in done.stdout
    assert len(re.findall(r"\bok\b", done.stdout)) >= len(rows)
    assert "FAIL" not in done.stdout
    assert "retry-after: " in done.stdout
    assert re.search(r"first token: \d+ ms direct, \d+ ms gated", done.stdout)
    assert _left_behind(tmp_path) == []


def test_keep_leaves_it_running_with_working_lines_until_ctrl_c(tmp_path):
    with subprocess.Popen(
        [*COMMAND, "--keep"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=_environment(tmp_path)
    ) as process:
        try:
            told = _read_until(process, '"large"')
            chat, sentiment, forbidden = (_request(command) for command in _commands(told))
            streamed, scored, refused = (
                httpx.request("POST", url, headers=headers, content=body, timeout=10)
                for url, headers, body in (chat, sentiment, forbidden)
            )
        finally:
            process.send_signal(signal.SIGINT)
            status = process.wait(30)
    assert status == 0
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert "data: [DONE]" in streamed.text
    assert scored.json()["label"] == "positive"
    assert "ada@example.com" not in scored.text
    assert refused.status_code == 403
    assert _left_behind(tmp_path) == []


def _left_behind(tmp_path: Path) -> list[str]:
    """All but the empty file through which parallel runs agree on ports: it must outlive each of them."""
    return [path.name for path in tmp_path.iterdir() if not path.name.startswith("tidegate-ports-")]


def _environment(tmp_path: Path) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path), "HOME": str(tmp_path)}


def _read_until(process: subprocess.Popen[str], last: str) -> str:
    deadline = time.monotonic() + 120
    told = ""
    while last not in told.partition("Left running")[2] and time.monotonic() < deadline:
        line = process.stdout.readline()
        assert line, told
        told += line
    return told


def _commands(told: str) -> list[str]:
    printed = told.partition("Try:")[2].replace("\\\n", "")
    return [line for line in printed.splitlines() if line.startswith("curl ")]


def _request(command: str) -> tuple[str, dict[str, str], str]:
    """What curl would send."""
    words = shlex.split(command)
    url = next(word for word in words if word.startswith("http"))
    headers = dict(words[i + 1].split(": ", 1) for i, word in enumerate(words) if word == "-H")
    body = words[words.index("-d") + 1]
    json.loads(body)
    return url, headers, body
