"""Resident memory while names are found in one response after another, none of which repeats the words of another.

`python -m tests.bench.soak --responses 100000` prints a line each tenth of the way; exit 1 when of these the
largest is above the smallest by more than `GOAL`. Linux alone tells a process what it has resident.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tidegate.filtering.formats import open_body
from tidegate.filtering.ner.open import open_names
from tidegate.filtering.ruleset import Action, FilterPlan

GOAL = 0.02
_ONSETS, _VOWELS = "b d f g k l m n p r s t v z br tr kl st".split(), "a e i o u ei ou".split()  # noqa: SIM905
_MEBI = 1 << 20


def resident() -> int:
    """Bytes of this process in memory."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise OSError("the system does not say what is resident")


def responses(count: int, *, sentences: int = 1, seed: int = 7) -> Iterator[bytes]:
    """Chat answers about people who do not exist, with words that hardly another has: six in each of its sentences."""
    rng = random.Random(seed)

    def word() -> str:
        return "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(rng.randint(2, 4)))

    def sentence(number: int) -> str:
        return (
            f"Your {word()} {number} was taken over by {word().title()} {word().title()}, who {word()} for "
            f"{word().title()} Ltd in {word().title()}."
        )

    for number in range(count):
        text = " ".join(sentence(number) for _ in range(sentences))
        yield json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}).encode()


def soak(count: int, *, sentences: int = 1) -> list[int]:
    """What is resident after each tenth of `count` responses, bytes. Raises RuntimeError where no name was found."""
    spotter = open_names()
    plan = FilterPlan(dict.fromkeys(spotter.entities, Action.REDACT), spotters=(spotter,))
    seen: list[int] = []
    found = 0
    for number, response in enumerate(responses(count, sentences=sentences), 1):
        body = open_body("application/json", plan, max_bytes=1 << 20)
        if body is None:
            raise RuntimeError("no format reads JSON")
        out = body.feed(response) + body.finish()
        found += out.count(b"[PERSON]")
        if number * 10 // count > len(seen):
            seen.append(resident())
    if found < count * sentences / 2:
        raise RuntimeError(f"only {found} people were found in {count * sentences} sentences")
    return seen


def growth(seen: list[int]) -> float:
    """By which part what is resident was more where it was most than where it was least."""
    return max(seen) / min(seen) - 1


def main() -> int:
    """0 when memory is flat."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--responses", type=int, default=100_000)
    parser.add_argument("--sentences", type=int, default=1, help="in each response")
    wanted = parser.parse_args()
    count = wanted.responses
    started = time.monotonic()
    seen = soak(count, sentences=wanted.sentences)
    for tenth, size in enumerate(seen, 1):
        print(f"{count * tenth // 10:>9,} responses: {size / _MEBI:.1f} MiB")
    print(f"from least to most {growth(seen):.2%} (goal: at most {GOAL:.0%}) in {time.monotonic() - started:.0f} s")
    return 0 if growth(seen) <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
