"""Exchanges out of a log: each decision with the response that came of it, whichever processes saw them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import orjson

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which exchanges are asked for; "" and None ask for nothing. `entity` was found in the response.

    An exchange lies between `since` and `until` when any of it does.
    """

    credential: str = ""
    subject: str = ""
    tenant: str = ""
    endpoint: str = ""
    entity: str = ""
    since: datetime | None = None
    until: datetime | None = None


class Joined(NamedTuple):
    """One exchange. A response without a decision is one whose decision is not in the log, or was handed to nobody."""

    decision: Record | None
    response: Record | None

    @property
    def began(self) -> datetime:
        """When its first record was made."""
        return time_of(self.decision or self.response or {})

    @property
    def ended(self) -> datetime:
        """When its last record was made."""
        return time_of(self.response or self.decision or {})

    def get(self, name: str) -> Any:
        """A field of the decision, or else of the response."""
        for record in (self.decision, self.response):
            if record and record.get(name):
                return record[name]
        return ""


def time_of(record: Record) -> datetime:
    """When a record was made."""
    return datetime.fromisoformat(record["at"])


def exchanges(records: Iterable[Record], wanted: Filter) -> Iterator[Joined]:
    """The exchanges asked for, in the order in which they began.

    `records` is read twice, because a response may stand before its decision, in the file of another process. So no
    more of a log is held than what was asked for, and that as bytes, a fifth of what it is as records.
    """
    found: dict[str, list[_Found]] = {}
    last = 0.0
    for record in records:
        at = time_of(record).timestamp()
        last = max(last, at)
        if record["kind"] == "decision" and _fits(record, wanted, at):
            found.setdefault(record["request_id"], []).append(_Found(at, decision=record))
    alone = []
    for record in records:
        if record["kind"] != "response":
            continue
        at = time_of(record).timestamp()
        of = next((one for one in found.get(record["request_id"], ()) if one.takes(record)), None)
        if of is not None:
            of.answered(at, record)
        elif at <= last and _fits(record, wanted, at):  # behind `last` is what was written since the first reading
            alone.append(_Found(at, response=record))
    kept = [one for some in (*found.values(), alone) for one in some if _lies(one, wanted)]
    return (one.joined() for one in sorted(kept, key=lambda one: one.began))


def findings_of(one: Joined) -> list[dict[str, Any]]:
    """What was found in the response: entity, action, count."""
    return _findings(one.response)


class _Found:
    """One exchange as it is held while others are looked for. Times are Unix seconds."""

    __slots__ = ("_allowed", "_decision", "_response", "_who", "began", "ended", "entities")

    def __init__(self, at: float, *, decision: Record | None = None, response: Record | None = None) -> None:
        self.began = self.ended = at
        self._allowed = decision is not None and decision["verdict"] == "allow"
        self._who = _who(decision or {})
        self._decision, self._response = _packed(decision), _packed(response)
        self.entities = _entities(response)

    def takes(self, response: Record) -> bool:
        """Whether a response of the same request id is this exchange's: a client may choose that id."""
        if self._response:
            return False
        who = _who(response)
        return not any(who) or (self._allowed and who == self._who)

    def answered(self, at: float, response: Record) -> None:
        self.ended, self._response, self.entities = at, _packed(response), _entities(response)

    def joined(self) -> Joined:
        return Joined(*(orjson.loads(data) if data else None for data in (self._decision, self._response)))


def _fits(record: Record, wanted: Filter, at: float) -> bool:
    """Whether an exchange that begins with this record is one of those asked for, as far as it shows that."""
    return not (wanted.until and at > wanted.until.timestamp()) and all(
        not getattr(wanted, name) or record.get(name) == getattr(wanted, name)
        for name in ("credential", "subject", "tenant", "endpoint")
    )


def _lies(one: _Found, wanted: Filter) -> bool:
    if wanted.entity and wanted.entity not in one.entities:
        return False
    return not (wanted.since and one.ended < wanted.since.timestamp())


def _who(record: Record) -> tuple[str, ...]:
    return tuple(record.get(name) or "" for name in ("subject", "tenant", "endpoint"))


def _packed(record: Record | None) -> bytes:
    # A copy: what orjson returns keeps 8 KiB, however short it is (measured).
    return b"" if record is None else bytes(memoryview(orjson.dumps(record)))


def _findings(response: Record | None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = response["findings"] if response else []
    return found


def _entities(response: Record | None) -> tuple[str, ...]:
    return tuple(found["entity"] for found in _findings(response))
