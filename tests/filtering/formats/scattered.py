"""Bodies of every dialect with values put anywhere in them, in any writing; and all that a reader could make of a body.

`python -m tests.filtering.formats.scattered FIRST COUNT` tries that many bodies and says which leave a value.
"""

from __future__ import annotations

import base64
import html
import json
import re
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any, Final
from urllib.parse import unquote

from tidegate.filtering.ruleset import Action, FilterPlan

from tests.filtering.formats.bodies import body, cut, drive, payloads

VALUES: Final[Mapping[str, tuple[str, ...]]] = {
    "AWS_KEY": ("AKIAQ3EGRMXT4YZ7LPWB",),
    "CREDIT_CARD": ("4111111111111111", "5500 0055 5555 5559", "378282246310005"),
    "CRYPTO": ("0x52908400098527886E0F7030069857D2E4169EE7",),
    "EMAIL": ("bob.builder@example.com", "zoe_q@mail.example.org"),
    "GITHUB_TOKEN": ("ghp_16C7e42F292c6912E7710c838347Ae178B4a",),
    "IBAN": ("GB82WEST12345698765432", "DE89370400440532013000"),
    "IP_ADDRESS": ("203.0.113.77", "2001:db8:aa::17"),
    "MAC_ADDRESS": ("3c:22:fb:4a:9d:1e",),
    "PHONE": ("+44 20 7946 0958", "+14155550132"),
    "STRIPE_KEY": ("sk_live_4fK9aQ2xZ7mB0cW5tR8uJ3dY",),
    "UK_NINO": ("AB123456C",),
    "US_SSN": ("536-22-8734",),
}
NUMBER: Final = 4111111111111111
WORDS: Final = (
    *("the", "answer", "is", "here", "so", "we", "see", "that", "it", "was", "sent", ";", "then", "17", "2024"),
    *("foo_bar", "{curly}", "\xe9", "\u6f22\u5b57", "\U0001f600"),
)
BEFORE: Final = (" ", " ", "\n", "(", '"', "'", "<", "[", ": ", "=", "\t", ", ", "> ", "**", "`", "](", "/?q=")
AFTER: Final = (" ", " ", "\n", ")", '"', "'", ">", "]", ", ", ". ", "!\n", "\t", "**", "`", "; ", "&x=", "?")
INVISIBLE: Final = "\u200b\xad\u200d\ufeff\u2060"
BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{12,}={0,2}")
BASE16: Final = re.compile(r"(?:[0-9a-fA-F]{2}){8,}")
ESCAPE: Final = re.compile(r"\\+(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2}))")

Make = Callable[[int, str], Any]


def _chat(delta: Callable[[str], Any]) -> Make:
    return lambda at, text: {"id": "c", "created": 1, "choices": [{"index": at, "delta": delta(text)}]}


def _call(kind: str, name: str) -> Make:
    return _chat(lambda text: {"tool_calls": [{"index": 0, "type": kind, kind: {name: text}}]})


def _response(kind: str) -> Make:
    return lambda at, text: {"type": f"response.{kind}.delta", "item_id": f"i{at}", "output_index": at, "delta": text}


def _block(kind: str, name: str) -> Make:
    return lambda at, text: {"type": "content_block_delta", "index": at, "delta": {"type": kind, name: text}}


EVENTS: Final[Mapping[str, Make]] = {
    "chat": _chat(lambda text: {"content": text}),
    "reasoning": _chat(lambda text: {"reasoning_content": text}),
    "refusal": _chat(lambda text: {"refusal": text}),
    "parts": _chat(lambda text: {"content": [{"type": "text", "text": text}]}),
    "details": _chat(lambda text: {"reasoning_details": [{"type": "reasoning.text", "text": text, "index": 0}]}),
    "transcript": _chat(lambda text: {"audio": {"id": "a", "transcript": text}}),
    "arguments": _call("function", "arguments"),
    "input": _call("custom", "input"),
    "name": _call("function", "name"),
    "completion": lambda at, text: {"choices": [{"index": at, "text": text}]},
    "responses": _response("output_text"),
    "responses, arguments": _response("function_call_arguments"),
    "messages": _block("text_delta", "text"),
    "messages, thinking": _block("thinking_delta", "thinking"),
    "messages, input": _block("input_json_delta", "partial_json"),
}
LINES: Final[Mapping[str, Make]] = {
    "ollama chat": lambda _, text: {"message": {"role": "assistant", "content": text}, "done": False},
    "ollama thinking": lambda _, text: {"message": {"content": "", "thinking": text}, "done": False},
    "ollama generate": lambda _, text: {"response": text, "done": False},
    "triton": lambda _, text: {"text_output": text},
    "chat": EVENTS["chat"],
    "messages": EVENTS["messages"],
}


@dataclass
class Scattered:
    """One body: what it is, its bytes in pieces, the plan that rewrites it, and the values in it."""

    kind: str
    pieces: list[bytes]
    plan: FilterPlan
    values: set[str] = field(default_factory=set)

    def left(self) -> list[str]:
        """The values that some reading of what leaves still has."""
        out, _ = drive(body(self.kind, self.plan), self.pieces)
        text = out.decode()
        seen = {reading.lower() for whole in (text, *joined(self.kind, text)) for reading in readings(whole)}
        return [value for value in sorted(self.values) if any(value.lower() in reading for reading in seen)]


def scattered(random: Random) -> Scattered:
    """Any body."""
    return _Scatterer(random).body()


class _Scatterer:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.values: set[str] = set()

    def body(self) -> Scattered:
        random = self.random
        acts = [Action.REDACT] if random.random() < 0.6 else [Action.REDACT, Action.HASH, Action.DROP]
        plan = FilterPlan({entity: random.choice(acts) for entity in VALUES})
        kind = random.choice(["sse", "sse", "sse", "ndjson", "json", "text", "csv"])
        match kind:
            case "sse":
                raw = "".join(self.frame(event) for event in self.events(EVENTS)) + "data: [DONE]\n\n"
            case "ndjson":
                raw = "".join(f"{self.dump(line)}\n" for line in self.events(LINES))
            case "json":
                raw = self.dump(self.tree(0))
            case "text":
                raw = "\n".join(self.text() for _ in range(random.randint(1, 3)))
            case _:
                cells = [[self.text().replace('"', '""') for _ in range(2)] for _ in range(random.randint(1, 3))]
                raw = "".join(f'"{first}","{second}"\r\n' for first, second in cells)
        places = [random.randrange(1 << 20) for _ in range(random.choice([0, 1, 3, 20]))]
        return Scattered(kind, cut(raw.encode(), places), plan, self.values)

    def dump(self, document: Any) -> str:
        return json.dumps(document, ensure_ascii=self.random.random() < 0.5)

    def frame(self, event: Any) -> str:
        end = self.random.choice(["\n", "\r\n"])
        return f"{self.random.choice(['', f'event: x{end}', f': c{end}'])}data: {self.dump(event)}{end}{end}"

    def events(self, makers: Mapping[str, Make]) -> list[Any]:
        """Texts in pieces, side by side; each on a channel of its own."""
        random = self.random
        left = []
        for at, name in enumerate(random.sample(sorted(makers), random.randint(1, 3))):
            text = self.text()
            edges = sorted({0, len(text), *(random.randint(0, len(text)) for _ in range(random.choice([0, 1, 3, 9])))})
            left.append([makers[name](at, text[low:high]) for low, high in pairwise(edges)])
        events = []
        while left := [queue for queue in left if queue]:
            events.append(random.choice(left).pop(0))
        return events

    def tree(self, depth: int) -> Any:
        random = self.random
        match random.choice(["object", "array", "number", "text"] if depth < 4 else ["number", "text"]):
            case "object":
                keys = [self.text() if random.random() < 0.15 else f"k{at}" for at in range(random.randint(1, 3))]
                return {key: self.tree(depth + 1) for key in keys}
            case "array":
                return [self.tree(depth + 1) for _ in range(random.randint(1, 3))]
            case "number" if random.random() < 0.3:
                self.values.add(str(NUMBER))
                return NUMBER
            case "number":
                return random.choice([1, 2.5, None, True])
        return self.text()

    def text(self) -> str:
        random = self.random
        out = self.words()
        for _ in range(random.choice([1, 1, 2])):
            value = random.choice(VALUES[random.choice(sorted(VALUES))])
            self.values.add(value)
            out += random.choice(BEFORE) + self.disguised(value) + random.choice(AFTER) + self.words()
        match random.randrange(8):
            case 0:
                return self.dump({"to": out})
            case 1:
                return self.dump([{"x": self.dump({"y": out})}])
            case 2:
                return self.dump({out: 1})
        return out

    def words(self) -> str:
        return " ".join(self.random.choices(WORDS, k=self.random.randint(0, 6)))

    def disguised(self, value: str) -> str:
        some: Callable[[str], bool] = lambda _: self.random.random() < 0.3  # noqa: E731
        match self.random.randrange(12):
            case 0:
                return "".join(char + self.random.choice(INVISIBLE) if some(char) else char for char in value)
            case 1:
                return "".join(chr(ord(char) + 0xFEE0) if char > " " and some(char) else char for char in value)
            case 2:
                return "".join(f"&#{ord(char)};" if some(char) else char for char in value)
            case 3:
                return "".join(f"%{ord(char):02X}" if some(char) else char for char in value)
            case 4:
                return "".join(f"\\u{ord(char):04x}" if some(char) else char for char in value)
            case 5:
                return base64.b64encode(value.encode()).decode()
            case 6:
                return value.encode().hex()
        return value


def joined(kind: str, text: str) -> Iterator[str]:
    """What a client puts together: each string of each channel over all events, lines or the document."""
    match kind:
        case "sse":
            documents = payloads(text.encode())
        case "ndjson":
            documents = [json.loads(line) for line in text.splitlines() if line]
        case "json":
            documents = [json.loads(text)]
        case _:
            documents = []
    strings: defaultdict[Any, str] = defaultdict(str)
    for document in documents:
        own = [document.get(name) for name in ("type", "index", "item_id")] if isinstance(document, dict) else []
        for path, string in _strings(document, ()):
            strings[*own, *path] += string
    yield from strings.values()


def _strings(node: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], str]]:
    if isinstance(node, str):
        yield path, node
    elif isinstance(node, dict):
        for name, value in node.items():
            yield (*path, name, "key"), name
            yield from _strings(value, (*path, name))
    elif isinstance(node, list):
        for at, value in enumerate(node):
            yield from _strings(value, (*path, value.get("index", at) if isinstance(value, dict) else at))


def readings(text: str) -> set[str]:
    """The text, and all that comes of undoing what may have been done to it, three times; and what is encoded in it."""
    known, fresh = {text}, {text}
    for _ in range(3):
        fresh = {undo(one) for one in fresh for undo in (_seen, _unescaped, html.unescape, unquote, _unquoted)} - known
        known |= fresh
    for one in tuple(known):
        for found in BASE64.finditer(one):
            whole = found[0].rstrip("=").translate(str.maketrans("-_", "+/"))
            parts = [whole[start:][: (len(whole) - start) // 4 * 4] for start in range(4)]
            known |= {base64.b64decode(part).decode("latin-1") for part in parts}
        known |= {bytes.fromhex(found[0]).decode("latin-1") for found in BASE16.finditer(one)}
    return known


def _seen(text: str) -> str:
    return "".join(char for char in unicodedata.normalize("NFKC", text) if unicodedata.category(char) != "Cf")


def _unescaped(text: str) -> str:
    return ESCAPE.sub(lambda escape: chr(int(escape[1] or escape[2], 16)), text)


def _unquoted(text: str) -> str:
    return text.replace('\\"', '"').replace("\\\\", "\\")


if __name__ == "__main__":
    first, count = int(sys.argv[1]), int(sys.argv[2])
    for seed in range(first, first + count):
        if found := (one := scattered(Random(seed))).left():
            print(seed, one.kind, found, b"".join(one.pieces).decode(), sep="\n  ")
