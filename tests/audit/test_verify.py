"""What verification finds: each record that was changed or is not where it was. And what it cannot find."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.audit.chain import Chain, Head, chain_key
from tidegate.audit.reading import Line, lines_of
from tidegate.audit.verify import Broken, KeyNeeded, Report, verify

from tests.audit.world import Time, write

KEY = chain_key(b"a-pepper-of-thirty-two-bytes-long")


@cache
def sound(key: bytes = KEY) -> tuple[Line, ...]:
    """Three runs of one writer, in several files."""
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(write(Path(directory), [3, 2, 3], key=key, size=1500))
        lines = tuple(lines_of(directory))
    assert len({line.place for line in lines}) > 3
    return lines


def broken(lines: Sequence[Line], **options: object) -> Broken:
    found = verify(lines, **{"key": KEY, **options}).broken  # type: ignore[arg-type]
    assert found is not None
    return found


def test_a_log_as_it_was_written_is_sound() -> None:
    report = verify(sound(), key=KEY)
    assert report.broken is None
    (chain,) = report.chains.values()
    assert (chain.first, chain.records, chain.head.seq) == (1, len(sound()), len(sound()))
    assert chain.closed
    assert not chain.notes()


@given(st.data())
def test_any_byte_that_is_changed_is_found_at_its_record(data: st.DataObject) -> None:
    lines = list(sound())
    at = data.draw(st.integers(0, len(lines) - 1))
    line = lines[at].data
    place = data.draw(st.integers(0, len(line) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != line[place]))
    lines[at] = lines[at]._replace(data=line[:place] + bytes([other]) + line[place + 1 :])
    found = broken(lines)
    assert (found.place, found.number) == (lines[at].place, lines[at].number)


@given(st.data())
def test_records_that_are_left_out_are_found_where_they_were(data: st.DataObject) -> None:
    lines = list(sound())
    first = data.draw(st.integers(1, len(lines) - 2))
    count = data.draw(st.integers(1, len(lines) - 1 - first))
    found = broken(lines[:first] + lines[first + count :])
    assert found.seq == first + count + 1
    assert f"{count} are missing" in found.what


@given(st.data())
def test_records_that_changed_places_are_found(data: st.DataObject) -> None:
    lines = list(sound())
    one, other = sorted(data.draw(st.lists(st.integers(0, len(lines) - 1), min_size=2, max_size=2, unique=True)))
    first, second = lines[one], lines[other]
    lines[one], lines[other] = first._replace(data=second.data), second._replace(data=first.data)
    found = broken(lines)
    # What opens a later file may be the first that is left of a log; then it is the next record that does not follow.
    assert (found.place, found.number) in [(line.place, line.number) for line in lines[one : one + 2]]


@given(st.integers(0, len(sound()) - 1), st.integers(0, len(sound())))
def test_a_record_that_stands_twice_is_found(one: int, where: int) -> None:
    lines = list(sound())
    lines.insert(where, lines[one])
    assert broken(lines)


@given(st.integers(0, len(sound()) - 2), st.integers(1, 40))
def test_a_file_that_was_cut_in_a_line_is_found_unless_it_is_the_last_line_of_all(at: int, cut: int) -> None:
    lines = list(sound())
    lines[at] = lines[at]._replace(data=lines[at].data[:-cut], ended=False)
    assert broken(lines)


@given(st.integers(1, len(sound()) - 1))
def test_a_cut_end_is_found_by_a_head_that_was_noted_and_by_nothing_else(left: int) -> None:
    chain = next(iter(verify(sound(), key=KEY).chains.values()))
    cut = sound()[:left]
    report = verify(cut, key=KEY)
    assert report.broken is None
    if left not in [number for number, line in enumerate(sound(), 1) if b'"kind":"close"' in line.data]:
        assert any("was cut off" in note for note in report.chains["w"].notes())
    assert "its end was cut off" in broken(cut, heads={"w": chain.head}).what


def test_a_head_that_was_noted_is_there_in_a_log_that_went_on() -> None:
    half = next(iter(verify(sound()[:7], key=KEY).chains.values())).head
    assert verify(sound(), key=KEY, heads={"w": half}).broken is None
    assert "noted" in broken(sound(), heads={"w": Head(half.seq, "f" * 64)}).what


def forged(key: bytes, lines: Sequence[Line], at: int) -> list[Line]:
    """The log made anew from a record on, by somebody who has `key` as a key."""
    kept = list(lines[:at])
    chain = Chain("w", key, Head(at, lines[at - 1].data[9:73].decode()))
    for line in lines[at:]:
        record = chain.seal(Time().at, "decision", {"request_id": "made up"})
        kept.append(line._replace(data=record.line))
    return kept


def test_without_a_key_a_log_can_be_made_anew_and_with_one_it_cannot() -> None:
    assert verify(forged(b"", sound(b""), 4)).broken is None
    found = broken(forged(b"", sound(), 4))
    assert found.seq == 5
    assert "without the key" in found.what
    assert broken(forged(b"guessed", sound(), 4)).seq == 5


def test_a_keyed_log_is_not_judged_without_its_key() -> None:
    with pytest.raises(KeyNeeded, match="pepper"):
        verify(sound())
    assert broken(sound(), key=chain_key(b"another-pepper-of-many-bytes")).seq == 1


def test_the_first_files_may_be_gone_and_the_report_says_so() -> None:
    places = list(dict.fromkeys(line.place for line in sound()))
    report = verify([line for line in sound() if line.place in places[2:]], key=KEY)
    assert report.broken is None
    assert "what was before it is not here" in report.chains["w"].notes()[0]
    gone = broken([line for line in sound() if line.place != places[1]])
    assert gone.place == places[2]
    assert "missing" in gone.what


def test_a_file_without_its_beginning_is_broken() -> None:
    assert "opens no file" in broken(sound()[1:]).what


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_what_is_no_log_is_broken_and_nothing_worse(lines: list[bytes]) -> None:
    report: Report = verify([Line("a.1.jsonl", str(n), data) for n, data in enumerate(lines, 1)])
    assert (report.broken is not None) == bool(lines)
