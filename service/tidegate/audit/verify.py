"""Whether a log is as it was written.

Found: every record that was changed, left out, put elsewhere or doubled, and a file that lacks in the middle. Not found
by the log alone: that its end was cut off at a record before another process went on from there, or that its oldest
files are gone. A head that was noted elsewhere shows the first. Without a key, whoever can write the log can also make
it anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tidegate.audit.chain import NOTHING, Head, algorithm, digest, parse, split
from tidegate.audit.reading import Line
from tidegate.errors import TidegateError


class KeyNeeded(TidegateError):
    """The chain is keyed, and nobody gave the key."""


@dataclass(frozen=True, slots=True)
class Broken:
    """The first thing that is wrong. `seq` is the number of the record, 0 where nobody can tell."""

    place: str
    number: str
    seq: int
    what: str

    def __str__(self) -> str:
        at = f"{self.place}:{self.number}" if self.number else self.place
        return f"{at}: record {self.seq} {self.what}" if self.seq else f"{at}: {self.what}"


@dataclass(slots=True)
class Chained:
    """What was found of one writer's chain."""

    first: int
    head: Head
    records: int = 0
    lost: int = 0
    places: set[str] = field(default_factory=set)
    closed: bool = False
    torn: Line | None = None
    crashes: list[tuple[int, int]] = field(default_factory=list)

    def notes(self) -> list[str]:
        """What is no fault, and still worth knowing."""
        said = []
        if self.first > 1:
            said.append(f"begins with record {self.first}: what was before it is not here")
        if self.lost:
            said.append(f"{self.lost} records could not be kept, as the log itself says")
        said += [f"a crash tore {size} bytes off, before record {seq} says so" for seq, size in self.crashes]
        if self.torn is not None:
            said.append(f"the last line is torn ({len(self.torn.data)} bytes): a crash, or it is being written")
        if not self.closed:
            said.append(
                "does not say that it ends: it is being written, its process was killed, or its end was cut off"
            )
        return said


@dataclass(slots=True)
class Report:
    """What was found. The chains are by writer; behind `broken` nothing was read."""

    chains: dict[str, Chained] = field(default_factory=dict)
    broken: Broken | None = None


class _Fault(Exception):
    """What is wrong with the line at hand."""


def verify(lines: Iterable[Line], *, key: bytes = b"", heads: Mapping[str, Head] | None = None) -> Report:
    """Read a log to its end or first fault. `heads` are records that must be there, by writer. Raises `KeyNeeded`."""
    report, missing, stream = Report(), dict(heads or {}), False
    for line in lines:
        stream = "-" in line.number
        seq = 0
        try:
            if not line.ended:
                _tear(report, line)
                continue
            claimed, body = _split(line)
            seq = _seq(body)
            if digest(key, body) != claimed:
                raise _Fault(_mismatch(key, claimed, body))
            writer = _follow(report, line, Head(seq, claimed), body, stream)
        except _Fault as fault:
            report.broken = Broken(line.place, line.number, seq, str(fault))
            return report
        wanted = missing.get(writer)
        if wanted is not None and wanted.seq == seq:
            if wanted.hash != claimed:
                report.broken = Broken(line.place, line.number, seq, "is not the one whose hash was noted")
                return report
            del missing[writer]
    for writer, wanted in missing.items():
        last = report.chains[writer].head.seq if writer in report.chains else 0
        what = f"the chain ends with record {last}, and record {wanted.seq} was noted: its end was cut off"
        report.broken = Broken(writer, "", 0, what)
        break
    return report


def _split(line: Line) -> tuple[str, bytes]:
    try:
        return split(line.data)
    except ValueError:
        raise _Fault("is no record") from None


def _seq(body: bytes) -> int:
    try:
        seq: int = parse(body)["seq"]
    except ValueError:
        raise _Fault("is no record") from None
    return seq


def _mismatch(key: bytes, claimed: str, body: bytes) -> str:
    record = parse(body)
    if not key and record["kind"] == "open" and record.get("algorithm") != algorithm(b""):
        raise KeyNeeded("the hashes are keyed: give the pepper that the service runs with, --key-pepper-file")
    if key and digest(b"", body) == claimed:
        return "is hashed without the key: whoever can write here can have made it"
    return "was changed, or hashed with another key"


def _follow(report: Report, line: Line, head: Head, body: bytes, stream: bool) -> str:
    """Take a sound record into its chain; the writer's name."""
    record = parse(body)
    writer: str = record["writer"]
    opens, prev = record["kind"] == "open", record["prev"]
    chain = report.chains.get(writer)
    if chain is None:
        if not opens and not stream:
            raise _Fault("is the first of its writer here, and opens no file: the beginning of the file is missing")
        if head.seq == 1 and prev != NOTHING:
            raise _Fault("is the first of all and follows another")
        chain = report.chains[writer] = Chained(head.seq, head)
    elif head.seq != chain.head.seq + 1:
        between = head.seq - chain.head.seq - 1
        raise _Fault(
            f"follows record {chain.head.seq}: {f'{between} are missing' if between > 0 else 'it is repeated'}"
        )
    elif prev != chain.head.hash:
        raise _Fault("does not follow the record before it")
    torn = len(chain.torn.data) if chain.torn else 0
    if torn and not opens:
        raise _Fault("follows a line that is no record")
    if opens and chain.records and torn != record.get("torn"):
        raise _Fault(f"says that {record.get('torn')} bytes before it were torn by a crash, and there are {torn}")
    if torn:
        chain.crashes.append((head.seq, torn))
    chain.torn = None
    chain.head = head
    chain.records += 1
    chain.places.add(line.place)
    chain.closed = record["kind"] == "close"
    if record["kind"] == "gap":
        chain.lost += record.get("lost", 0)
    return writer


def _tear(report: Report, line: Line) -> None:
    chain = report.chains.get(Path(line.place).name.rsplit(".", 2)[0])
    if chain is None or line.place not in chain.places:
        raise _Fault("is no record, and nothing is before it")
    chain.torn = line
