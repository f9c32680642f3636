"""What may leave: personal data in a JSON answer, in whole completions and in live streams."""

from __future__ import annotations

import json
import re
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from tidegate.demo.customers import customers
from tidegate.demo.scenarios.scenario import CHAT, SENTIMENT, Outcome, Scenario, Stage, chat_body

LEAVE = "what may leave?"
TEXT = "Ada loves this product, it is great! Reach her at ada@example.com or +1 202-555-0143."
LETTER = "My colleague Wanda Kowalczyk likes it. Everybody in London asked Wanda Kowalczyk for more."
RUNS = 3

_REACHED = re.compile(r"by e-mail at .+? or by phone at .+?(?=\. The card)")


def leaked(text: str) -> list[str]:
    """Every personal value of the customer file that stands in `text`, however its digits are set apart."""
    packed = _pack(text)
    found = []
    for customer in customers():
        found += [customer.email] if customer.email in text else []
        found += [value for value in (customer.card, customer.iban, customer.ssn) if _pack(value) in packed]
        found += [customer.phone] if _pack(customer.phone)[-10:] in packed else []
    return found


def _pack(text: str) -> str:
    return re.sub(r"[\s().+-]", "", text)


def masked_fields(stage: Stage) -> Outcome:
    """The echoed text and the quoted record lose their values; the model, asked directly, gives them away."""
    direct = stage.model.post(SENTIMENT, json={"text": TEXT})
    gated = stage.gate.post(SENTIMENT, json={"text": TEXT}, headers=stage.key("paul"))
    before, after = direct.json(), gated.json()
    record = after["customer"]
    ok = bool(leaked(direct.text)) and not leaked(gated.text) and record["name"] == "Ada Example"
    lines = [f"{name}: {before['customer'][name]} → {record[name]}" for name in ("email", "phone", "card", "ssn")]
    return Outcome(ok, "\n".join((*lines, f"text: …{after['text'][-48:]}")))


def scores_unchanged(stage: Stage) -> Outcome:
    """Filtering must not touch what is no personal data."""
    direct = stage.model.post(SENTIMENT, json={"text": TEXT}).json()
    gated = stage.gate.post(SENTIMENT, json={"text": TEXT}, headers=stage.key("paul")).json()
    same = gated["scores"] == direct["scores"] and gated["label"] == direct["label"]
    return Outcome(same, f"{gated['label']}, compound {gated['scores']['compound']}")


def named(stage: Stage) -> Outcome:
    """A person whom no file lists has one pseudonym wherever the answer names her, and her town stays."""
    direct = stage.model.post(SENTIMENT, json={"text": LETTER}).json()["text"]
    gated = stage.gate.post(SENTIMENT, json={"text": LETTER}, headers=stage.key("paul")).json()["text"]
    stand_ins = re.findall(r"\[PERSON_[0-9a-f]{12}\]", gated)
    ok = direct == LETTER and gated == LETTER.replace("Wanda Kowalczyk", stand_ins[0] if stand_ins else "")
    return Outcome(ok, gated)


@dataclass(frozen=True, slots=True)
class Listened:
    """A stream as a client heard it: seconds to the first text and to the end, and everything it said."""

    first: float
    total: float
    text: str
    raw: str
    ended: bool


def listen(client: httpx.Client, headers: Mapping[str, str]) -> Listened:
    """Ask for a stream and note when its text arrives."""
    started = time.monotonic()
    first = 0.0
    text, lines = "", []
    body = chat_body(stream=True)
    with client.stream("POST", CHAT, json=body, headers=dict(headers)) as response:
        response.raise_for_status()
        for line in response.iter_lines():
            lines.append(line)
            if not line.startswith("data: {"):
                continue
            choices = json.loads(line.removeprefix("data: "))["choices"]
            said = choices[0]["delta"].get("content") if choices else None
            if said:
                first = first or time.monotonic() - started
                text += said
    raw = "\n".join(lines)
    return Listened(first, time.monotonic() - started, text, raw, "data: [DONE]" in raw)


def masked_stream(stage: Stage) -> Outcome:
    """Nothing leaks, and the text is live: its first word is there long before the model has ended."""
    direct = [listen(stage.model, {}) for _ in range(RUNS)]
    gated = [listen(stage.gate, stage.key("paul")) for _ in range(RUNS)]
    first_direct = statistics.median(run.first for run in direct)
    first_gated = statistics.median(run.first for run in gated)
    live = first_gated < statistics.median(run.total for run in direct) / 2
    clean = not any(leaked(run.text) or leaked(run.raw) for run in gated) and all(run.ended for run in gated)
    ok = clean and live and bool(leaked(direct[0].text))
    timing = f"first token: {first_direct * 1000:.0f} ms direct, {first_gated * 1000:.0f} ms gated"
    return Outcome(ok, f"before: {_reached(direct[0].text)}\nafter: {_reached(gated[0].text)}\n{timing}")


def stream_equals_whole(stage: Stage) -> Outcome:
    """Filtering a stream and filtering the whole give the same text, however the model cut it."""
    whole = stage.gate.post(CHAT, json=chat_body(), headers=stage.key("paul")).json()
    text = whole["choices"][0]["message"]["content"]
    streamed = listen(stage.gate, stage.key("paul")).text
    ok = text == streamed and not leaked(text)
    return Outcome(
        ok, f"{'the same' if text == streamed else 'different'} {len(text)} characters, {len(leaked(text))} leaks"
    )


def _reached(text: str) -> str:
    found = _REACHED.search(text)
    return found.group() if found else text[:90]


SCENARIOS = (
    Scenario(LEAVE, "personal data in a JSON answer", "e-mail, phone, card, SSN gone", masked_fields),
    Scenario(LEAVE, "the analysis in that answer", "unchanged", scores_unchanged),
    Scenario(LEAVE, "a person's name in an answer", "one pseudonym for one person", named),
    Scenario(LEAVE, "personal data split over a live stream", "masked while it runs", masked_stream),
    Scenario(LEAVE, "that answer streamed, and in one piece", "the same filtered text", stream_equals_whole),
)
