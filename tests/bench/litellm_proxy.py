"""The LiteLLM proxy (PyPI `litellm[proxy]`) in an environment of its own: it pins other versions than this project.

The environment is made at the first use, from `litellm.lock`, in `.venv-litellm` beside `.venv`. The proxy runs as its
documentation says, with two workers and a key that it checks: its master key, because virtual keys want a database.
Nothing is logged, nothing is reported home, and the prices of models come from the package. A worker that is busy is
left alone: by default uvicorn kills one that has not answered its supervisor for five seconds, with its connections.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tidegate.demo.stack import Process, free_ports, listening, running

_HERE: Final = Path(__file__).parent
_LOCK: Final = _HERE / "litellm.lock"
PLACE: Final = _HERE.parents[1] / ".venv-litellm"
KEY: Final = "sk-bench-not-a-secret"
_BUSY: Final = 120  # seconds
_ENV: Final = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOG": "ERROR",
    "LITELLM_TELEMETRY": "False",
    "NO_DOCS": "True",
    "PYTHONUNBUFFERED": "1",
}


class NotInstalled(RuntimeError):
    """The environment cannot be made here."""


def installed() -> Path:
    """The `litellm` program, installed first where it is not, or not as locked. Raises `NotInstalled`."""
    stamp = PLACE / "lock.sha256"
    locked = hashlib.sha256(_LOCK.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != locked:
        print(f"installing the LiteLLM proxy into {PLACE.name}, once: a minute", file=sys.stderr)
        stamp.unlink(missing_ok=True)
        venv.create(PLACE, with_pip=True, clear=True)
        pip = [str(PLACE / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
        done = subprocess.run([*pip, "install", "--require-hashes", "-r", str(_LOCK)], capture_output=True, text=True)
        if done.returncode:
            raise NotInstalled(done.stderr.strip()[-500:])
        stamp.write_text(locked)
    return PLACE / "bin" / "litellm"


@contextmanager
def serving(directory: Path, model: int, *, workers: int = 2) -> Iterator[tuple[Process, int]]:
    """A proxy before the model that listens on port `model`, and its own port. Raises `NotInstalled`."""
    program = installed()
    directory.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    upstream = {"model": "openai/small", "api_base": f"http://127.0.0.1:{model}/v1", "api_key": "none"}
    config = {
        "model_list": [{"model_name": "small", "litellm_params": upstream}],
        "litellm_settings": {"telemetry": False},
        "general_settings": {"master_key": KEY},
    }
    path = directory / "litellm.yaml"
    path.write_text(json.dumps(config))
    command = [str(program), "--config", str(path), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--num_workers", str(workers), "--telemetry", "False"]
    command += ["--timeout_worker_healthcheck", str(_BUSY)]
    with running(command, directory / "litellm.log", ready=lambda: listening(port), env=_ENV, timeout=180) as process:
        yield process, port
