"""The demo's language model: it answers from the customer file, in small deltas that split the values it leaks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

from tidegate.demo.customers import Customer, customers, find_customer

MODELS = ("small", "large")
CREATED = 1_700_000_000

_DELTA = re.compile(r"\s*\S{1,8}|\s+$")
_serial = count(1)


def tokenise(text: str) -> list[str]:
    """`text` in deltas of at most eight visible characters, so that `ada@example.com` is `ada@exam` + `ple.com`."""
    return _DELTA.findall(text)


def compose(model: str, prompt: str) -> str:
    """The answer to `prompt`: "small" tells of one customer, "large" of the whole file."""
    if model == "large":
        told = " ".join(_describe(customer) for customer in customers())
    else:
        told = _describe(find_customer(prompt) or customers()[0])
    return f"Here is what I found. {told} Is there anything else you would like to know?"


def _describe(customer: Customer) -> str:
    return (
        f"{customer.name} can be reached by e-mail at {customer.email} or by phone at {customer.phone}. "
        f"The card on file is {customer.card}, the account {customer.iban}, the social security number "
        f"{customer.ssn}. Note: {customer.first_name} {customer.note}."
    )


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer, in both of the shapes of the chat completions API."""

    id: str
    model: str
    deltas: tuple[str, ...]
    prompt_tokens: int

    def usage(self) -> dict[str, int]:
        """Token counts as OpenAI reports them; a token is a delta here."""
        told = len(self.deltas)
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": told,
            "total_tokens": self.prompt_tokens + told,
        }

    def document(self) -> dict[str, Any]:
        """The answer to `"stream": false`."""
        message = {"role": "assistant", "content": "".join(self.deltas)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return {**self._frame("chat.completion"), "choices": [choice], "usage": self.usage()}

    def chunks(self, include_usage: bool = False) -> Iterator[dict[str, Any]]:
        """The events of `"stream": true`, without the closing `[DONE]`."""
        yield self._chunk({"role": "assistant", "content": ""})
        for delta in self.deltas:
            yield self._chunk({"content": delta})
        yield self._chunk({}, "stop")
        if include_usage:
            yield {**self._frame("chat.completion.chunk"), "choices": [], "usage": self.usage()}

    def _chunk(self, delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {**self._frame("chat.completion.chunk"), "choices": [choice]}

    def _frame(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": CREATED, "model": self.model}


def complete(model: str, prompt: str) -> Completion:
    """Run the model."""
    deltas = tuple(tokenise(compose(model, prompt)))
    return Completion(f"chatcmpl-demo-{next(_serial)}", model, deltas, len(tokenise(prompt)))
