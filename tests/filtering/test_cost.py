"""Hostile text costs linear time and bounded memory.

With every detector of the table at work, a megabyte of the worst text that is known costs at most `WHOLE` second of
processor time as one text, and twice the text costs no more than `GROWTH` times as much. In chunks of 16 characters a
megabyte costs at most `CUT`: that is 62,500 deltas, each of which looks again at what the one before it held and at the
words before that, so that one may cost 48 microseconds. What the values of a row suggest is measured on a part of a
megabyte, and in full where that comes near the bound. The first look at a text makes states of the automata, which are
kept; it is not counted. The bounds are for a core that counts to a million in `COUNTING` seconds: a slower one is
allowed as much more as it takes to count.
"""

from __future__ import annotations

import base64
import gc
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from tidegate.filtering.detector import Detector
from tidegate.filtering.detectors import DETECTORS
from tidegate.filtering.rewriter import TextRewriter, rewrite
from tidegate.filtering.ruleset import Action

from tests.filtering.corpus import PLANS
from tests.filtering.cost import CHUNK, CUT, PART, SIZE, WHOLE, dear, per_mb, seconds
from tests.filtering.hostile import repeated, units

ROOT = Path(__file__).parents[2]
PLAN = PLANS[Action.REDACT]
SMALL_PART = 1 << 12
# An object for each of their characters: measured in a process of their own, which no ten thousand tests have filled.
ALONE = {"percent-encoding", "escapes in escapes", "invisible"}
NEAR = 0.8
"""The share of a bound from which on a part is not taken for the whole."""


def _random(alphabet: str) -> str:
    return "".join(Random(7).choices(alphabet, k=SIZE))


def _repeated(unit: str) -> str:
    return repeated(unit, SIZE)


HOSTILE = {
    "e-mail characters": _repeated("a"),
    "at signs": _repeated("a@a."),
    "labels": _repeated("a@" + "a-" * 120 + " "),
    "digits": _repeated("1"),
    "digits and separators": _random("0123456789 -."),
    "cards that fail": _repeated("4111 "),
    "octets": _repeated("1.1.1.1.1 "),
    "colons": _random("0123456789abcdef:"),
    "phones that fail": _repeated("+99912345678 "),
    "ibans that fail": _repeated("GB82WEST12345698765433 "),
    "iban beginnings": _repeated("aa11 "),
    "base64": _random("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"),
    "token beginnings": _repeated("_sk-"),
    "token run": _repeated("ghp_" + "a1" * 4000),
    "jwt beginnings": _repeated("-eyJ" * 200 + "0123456789.eyJ" + "a" * 900),
    "pem beginnings": _repeated("-----BEGIN PRIVATE KEY-----"),
    "pem headers": _repeated("-----BEGIN PRIVATE KEY-----" + "\nabc: " * 2000),
    "pem quoted": _repeated("-----BEGIN PRIVATE KEY-----" + "\\n'  \n  '" * 2000),
    "names without numbers": _repeated("ssn: 12345678 tel: (1 - 2 - 3 - 4 - 5 - 6 "),
    "words without values": _repeated("dni="),
    "words in capitals": _repeated("SIN "),
    "words joined": _repeated("-vat"),
    "words and numbers that fail": _repeated("BTW NL123 "),
    "many words and numbers that fail": _repeated("nhs bsn sin tfn 123456789 123456789 123456789 "),
    "words and numbers in pieces": _repeated("nhs bsn sin tfn ein egn cpf 1 2 3 4 5 6 7 8 9 "),
    "passwords that are none": _repeated("password "),
    "line breaks written out": _repeated("\\nsk-\\neyJ\\nGB82"),
    "endless pem": "-----BEGIN PRIVATE KEY-----\n" + _repeated("A"),
    "percent-encoding": _repeated("%40"),
    "addresses in percent-encoding": _repeated("bob%40example.com "),
    "half references": _repeated("&#"),
    "zeros of references": _repeated("&#x" + "0" * 33),
    "names of characters": _repeated("\\N{COMMERCIAL AT}"),
    "references": _repeated("&#64;"),
    "escapes in escapes": _repeated("%252540&amp;amp;#x40;"),
    "backslashes": _repeated("\\" * 90 + "u0040"),
    "names that are none": _repeated("&abcdefghijklmnopqrst"),
    "addresses in base64": _repeated("Ym9iQGV4YW1wbGUuY29tLCA="),
    "prose in base64": _repeated(base64.b64encode(b"the model answered that 2024 was fine. ").decode()),
    "short pieces in base64": _repeated("ATBB4"),
    "short pieces in base64 with at signs": _repeated("TRAVI"),
    "at signs in base64": _repeated(base64.b64encode(b"a@a.").decode()),
    "prose in base16": _repeated(b"the model answered that 2024 was fine. ".hex()),
    "beginnings in base64": _repeated("YUFhQWFB "),
    "addresses spelt out": _repeated("bob [at] "),
    "dots spelt out": _repeated("a dot b at c dot "),
    "invisible": _repeated("1\u200b"),
    "only invisible": _repeated("\u200b"),
    "ideographs": _repeated("\u7528"),
}


@pytest.fixture(autouse=True, scope="module")
def _collected_as_in_a_worker() -> Iterator[None]:
    """What other tests left in memory is not walked while this measures, as what a worker has built is not."""
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def measured(name: str) -> str:
    """What is wrong with the cost of this text."""
    return dear(lambda text: rewrite(PLAN, text), HOSTILE[name])


def _alone(name: str) -> str:
    code = f"from tests.filtering.test_cost import measured; print(measured({name!r}))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    return told.strip()


def _in_chunks(text: str) -> None:
    rewriter = TextRewriter(PLAN)
    for at in range(0, len(text), CHUNK):
        rewriter.feed(text[at : at + CHUNK])
    rewriter.finish()


def _slow(work: Callable[[str], object], row: Detector, part: int, bound: float) -> list[str]:
    """The units of which a megabyte costs more: by a part of it, or where that is not clear, by all of it."""
    near = [unit for unit in units(row) if per_mb(work, repeated(unit, part), NEAR * bound) > NEAR * bound]
    return [unit for unit in near if per_mb(work, repeated(unit, SIZE), bound) > bound]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_megabyte_of_the_worst_is_linear_and_quick(name: str) -> None:
    assert not (_alone(name) if name in ALONE else measured(name))


@pytest.mark.parametrize("name", HOSTILE)
def test_an_eighth_of_a_megabyte_of_the_worst_is_quick_in_chunks(name: str) -> None:
    assert per_mb(_in_chunks, HOSTILE[name][: SIZE // 8], CUT) < CUT


@pytest.mark.parametrize("row", DETECTORS, ids=[row.name for row in DETECTORS])
def test_a_row_is_quick_on_what_looks_like_its_values(row: Detector) -> None:
    assert not _slow(lambda text: rewrite(PLAN, text), row, PART, WHOLE)


@pytest.mark.parametrize("row", DETECTORS, ids=[row.name for row in DETECTORS])
def test_a_row_is_quick_in_chunks_on_what_looks_like_its_values(row: Detector) -> None:
    assert not _slow(_in_chunks, row, SMALL_PART, CUT)


@pytest.mark.parametrize("name", ["e-mail characters", "digits", "base64", "endless pem", "token run", "invisible"])
def test_a_stream_of_the_worst_takes_little_memory(name: str) -> None:
    text = HOSTILE[name][: SIZE // 4]
    rewriter = TextRewriter(PLAN)
    rewriter.feed(text[:100])
    tracemalloc.start()
    for at in range(100, len(text), 200):
        rewriter.feed(text[at : at + 200])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 << 20


def test_small_deltas_are_cheap() -> None:
    rewriter = TextRewriter(PLAN)
    deltas = ["The ", "model", " answer", "ed that ", "2024 ", "was fine, ", "see ", "section 4.2", ".\n"] * 500
    cost = min(seconds(lambda: [rewriter.feed(delta) for delta in deltas]) for _ in range(3))
    assert cost / len(deltas) < 100e-6
