"""Exchanges out of a log: each decision with the response that came of it, whichever processes saw them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

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


def exchanges(records: Iterable[Record], wanted: Filter) -> list[Joined]:
    """The exchanges asked for, in the order in which they began."""
    decisions: list[Record] = []
    responses: dict[str, list[Record]] = {}
    for record in records:
        if record["kind"] == "decision":
            decisions.append(record)
        elif record["kind"] == "response":
            responses.setdefault(record["request_id"], []).append(record)
    joined = []
    for decision in decisions:
        waiting = responses.get(decision["request_id"], [])
        joined.append(Joined(decision, waiting.pop(0) if waiting else None))
    joined += [Joined(None, response) for left in responses.values() for response in left]
    return sorted((one for one in joined if _matches(one, wanted)), key=lambda one: one.began)


def _matches(one: Joined, wanted: Filter) -> bool:
    if any(
        getattr(wanted, name) and one.get(name) != getattr(wanted, name)
        for name in ("credential", "subject", "tenant", "endpoint")
    ):
        return False
    if wanted.entity and all(found["entity"] != wanted.entity for found in findings_of(one)):
        return False
    return not ((wanted.since and one.ended < wanted.since) or (wanted.until and one.began > wanted.until))


def findings_of(one: Joined) -> list[dict[str, Any]]:
    """What was found in the response: entity, action, count."""
    found: list[dict[str, Any]] = one.response["findings"] if one.response else []
    return found
