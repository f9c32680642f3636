"""One way to the model, and what its turns have shown: the load, its check, and the processor time of each process."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from tests.bench import cpu
from tests.bench.http_load import Plan

CONNECTIONS: Final = 32
LOOPS: Final = ("warm", "closed", "open", "streams")


@dataclass
class Case:
    """One way to the model. `groups` are the processes whose time counts; `content` is what an answer must say."""

    name: str
    port: int
    content: str
    groups: dict[str, tuple[int, ...]]
    key: str
    lost: int = 0  # connections that the proxy closed on a caller
    turns: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {loop: [] for loop in LOOPS})

    def take_turn(self, loop: str, seconds: float, rate: float = 0.0, connections: int = CONNECTIONS) -> None:
        before = cpu.used(self.groups)
        request = _request(self.key, stream=loop == "streams")
        result = _generate(Plan(self.port, request, self.content, connections, seconds, rate))
        after = cpu.used(self.groups)
        self.lost += result["wrong"].pop("connection lost", 0) if self.name == "litellm" else 0
        if result["wrong"] or not result["answers"]:
            raise RuntimeError(f"{self.name}: of {result['answers']} answers these were wrong: {result['wrong']}")
        result["cpu"] = {name: after[name] - before[name] for name in after} | {"generator": result["cpu"]}
        self.turns[loop].append(result)

    def median(self, loop: str, what: str) -> float:
        return statistics.median(turn[what] for turn in self.turns[loop])

    @property
    def answers(self) -> int:
        return sum(turn["answers"] for turns in self.turns.values() for turn in turns)

    def rate(self, loop: str = "closed") -> float:
        """Answers a second."""
        return statistics.median(turn["answers"] / turn["wall"] for turn in self.turns[loop])

    def cpu_us(self, group: str) -> float:
        """Processor time a request in the closed loop, microseconds."""
        turns = self.turns["closed"]
        return sum(turn["cpu"][group] for turn in turns) / sum(turn["answers"] for turn in turns) * 1e6


def _request(key: str, *, stream: bool = False) -> str:
    question = (
        "What is a tide gate, and whom do I ask for the drawings of one? Answer in a short paragraph, in English."
    )
    messages = [{"role": "system", "content": "You are brief."}, {"role": "user", "content": question}]
    body = json.dumps({"model": "small", "messages": messages, "temperature": 0.2, "max_tokens": 200, "stream": stream})
    head = (
        "POST /v1/chat/completions HTTP/1.1",
        "host: models.example.com",
        f"authorization: Bearer {key}",
        "content-type: application/json",
        "accept: application/json",
        "user-agent: bench/1.0",
        "x-model: small",
        f"content-length: {len(body)}",
    )
    return "\r\n".join(head) + "\r\n\r\n" + body


def _generate(plan: Plan) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.bench.http_load"]
    done = subprocess.run(command, input=json.dumps(asdict(plan)), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the load generator failed: {done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result
