"""How long a refused API key takes does not tell whether its id exists.

As in dudect (Reparaz, Balasch, Verbauwhede: "Dude, is my code constant time?", 2017): two classes of input, their
measurements interleaved at random so that whatever else the machine does falls on both, the slow tail cropped. The
statistic is the difference of the two classes' medians over the median of all, in each of many short blocks, and the
median of those: one block in which the machine was busy does not matter. Noise is what two samples of the same class
differ by; LIMIT is above it by far, and the implementations that leak are above LIMIT.
"""

from __future__ import annotations

import base64
import gc
import hmac
import random
import secrets
import statistics
import time
from collections.abc import Callable, Sequence

import pytest
from tidegate.identity import KeyStore, api_key, refusals
from tidegate.identity.api_key import KeyRecord, keyed_hash
from tidegate.model import Deny, Identity

PEPPER = b"pepper-of-the-tests-that-is-long-enough"
KEYS = 20_000  # more than a processor's nearest caches hold: a memory that was touched lately is quick
BLOCKS, PAIRS = 60, 150
LIMIT = 0.08
"""The share of a proof's time that counts as a difference. Of the 3 µs of a proof that is 240 ns; the network between
a caller and the gate varies by hundreds of times that."""

Prove = Callable[[str], object]


def new_id() -> str:
    return base64.b32encode(secrets.token_bytes(10)).decode().lower()


def credential(key_id: str) -> str:
    return f"tg_{key_id}_{base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b'=').decode()}"


@pytest.fixture(scope="module")
def records() -> dict[str, KeyRecord]:
    return {
        key_id: KeyRecord(
            Identity(key_id, "acme", "free", "api_key"), (secrets.token_bytes(32), secrets.token_bytes(32))
        )
        for key_id in (new_id() for _ in range(KEYS))
    }


def difference(prove: Prove, one: Callable[[], str], other: Callable[[], str]) -> float:
    """By what share of a proof's time the proofs of `one` are slower than those of `other`."""
    found = []
    for _ in range(BLOCKS):
        inputs = [(False, one()) for _ in range(PAIRS)] + [(True, other()) for _ in range(PAIRS)]
        random.shuffle(inputs)
        found.append(_block(prove, inputs))
    return statistics.median(found)


def _block(prove: Prove, inputs: Sequence[tuple[bool, str]]) -> float:
    times: tuple[list[int], list[int]] = ([], [])
    clock = time.perf_counter_ns
    collecting = gc.isenabled()
    gc.disable()
    try:
        for which, text in inputs:
            started = clock()
            prove(text)
            times[which].append(clock() - started)
    finally:
        if collecting:
            gc.enable()
    crop = sorted(times[0] + times[1])[int(len(inputs) * 0.9)]
    ours, theirs = ([taken for taken in each if taken <= crop] for each in times)
    return (statistics.median(ours) - statistics.median(theirs)) / statistics.median(ours + theirs)


def known(records: dict[str, KeyRecord]) -> Callable[[], str]:
    ids = [name.encode().decode() for name in random.sample(sorted(records), len(records))]  # leaves the store's cold
    turn = iter(ids * 10)
    return lambda: credential(next(turn))


def unknown() -> str:
    return credential(new_id())


def test_a_wrong_secret_takes_as_long_as_an_unknown_id(records: dict[str, KeyRecord]) -> None:
    store = KeyStore(records, pepper=PEPPER)

    def prove(text: str) -> object:
        return store.prove(text, now=0.0)

    noise = difference(prove, unknown, unknown)
    found = difference(prove, known(records), unknown)
    assert abs(noise) < LIMIT
    assert abs(found) < LIMIT


@pytest.mark.parametrize("leak", ["early", "table"])
def test_an_implementation_that_leaks_is_found_out(leak: str, records: dict[str, KeyRecord]) -> None:
    """One returns early for an unknown id; the other finds it in a hash table, and hashes and compares all the same."""
    nobody = KeyRecord(Identity("", "", "", "api_key"), (bytes(32), bytes(32)))
    pattern = api_key._CREDENTIAL

    def prove(text: str) -> Deny:
        match = pattern.fullmatch(text)
        assert match is not None
        key_id, secret = match.groups()
        found = records.get(key_id)
        if found is None and leak == "early":
            return refusals.invalid("key_unknown")
        first, second = (nobody if found is None else found).digests
        digest = keyed_hash(PEPPER, secret.encode())
        good = hmac.compare_digest(digest, first), hmac.compare_digest(digest, second)
        return refusals.invalid("key_unknown" if found is None else "key_secret" if not any(good) else "")

    assert difference(prove, known(records), unknown) > LIMIT


def test_a_hash_that_is_nearly_right_takes_as_long_as_any(records: dict[str, KeyRecord]) -> None:
    """And a comparison that stops at the first difference is found out."""
    near, far = _near_and_far(records)
    store = KeyStore(records | near[0] | far[0], pepper=PEPPER)

    def prove(text: str) -> object:
        return store.prove(text, now=0.0)

    assert abs(difference(prove, near[1], far[1])) < LIMIT


def test_a_comparison_that_stops_at_the_first_difference_is_found_out(
    records: dict[str, KeyRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaky(one: str | bytes, other: str | bytes) -> bool:
        return len(one) == len(other) and all(a == b for a, b in zip(one, other, strict=True))

    near, far = _near_and_far(records)
    store = KeyStore(records | near[0] | far[0], pepper=PEPPER)
    monkeypatch.setattr(api_key.hmac, "compare_digest", leaky)
    assert difference(lambda text: store.prove(text, now=0.0), near[1], far[1]) > LIMIT


Class = tuple[dict[str, KeyRecord], Callable[[], str]]


def _near_and_far(records: dict[str, KeyRecord]) -> tuple[Class, Class]:
    """Keys whose stored hash is that of the credential but for its last byte, and keys for which all of it differs."""
    classes: list[Class] = []
    for keep in (31, 0):
        made: dict[str, KeyRecord] = {}
        texts = []
        for _ in range(BLOCKS * PAIRS):
            key_id = new_id()
            text = credential(key_id)
            digest = keyed_hash(PEPPER, text.rpartition(f"{key_id}_")[2].encode())
            stored = digest[:keep] + bytes(byte ^ 0xFF for byte in digest[keep:])
            made[key_id] = KeyRecord(Identity(key_id, "acme", "free", "api_key"), (stored, stored))
            texts.append(text)
        turn = iter(texts)
        classes.append((made, lambda turn=turn: next(turn)))  # type: ignore[misc]
    return classes[0], classes[1]
