"""The audit log of a load, added up: what the service itself says it decided, read, let out and charged."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tidegate.audit.chain import chain_key
from tidegate.audit.files import SUFFIX
from tidegate.audit.reading import lines_of, records_of
from tidegate.audit.verify import verify


@dataclass(frozen=True)
class Account:
    """One tenant's exchanges, "" for callers whom nobody knew. All sizes are bytes.

    `unsettled` responses had nothing reserved or let it stand, where others were settled; `left` are the reasons why
    bytes were not read, and `outcomes` those of the responses.
    """

    allowed: int = 0
    refused: int = 0
    responses: int = 0
    scanned: int = 0
    skipped: int = 0
    sent: int = 0
    tokens: int = 0
    unsettled: int = 0
    findings: int = 0
    left: frozenset[str] = frozenset()
    outcomes: Mapping[str, int] = field(default_factory=dict)

    @property
    def received(self) -> int:
        """What came from the model."""
        return self.scanned + self.skipped


@dataclass(frozen=True)
class Books:
    """All accounts by tenant, and the state of the log: how many `files`, what `broken` its chains, records `lost`."""

    accounts: Mapping[str, Account]
    files: int
    writers: int
    broken: str = ""
    closed: bool = True
    lost: int = 0

    def total(self, name: str) -> int:
        """A figure over all accounts."""
        return sum(getattr(account, name) for account in self.accounts.values())


def read_books(directory: Path, pepper: bytes) -> Books:
    """Read a log in files, when nobody writes any more."""
    sums: defaultdict[str, Counter[str]] = defaultdict(Counter)
    left: defaultdict[str, set[str]] = defaultdict(set)
    outcomes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for record in records_of(str(directory)):
        if record is None:
            continue  # the chain says so
        tenant = record.get("tenant", "")
        if record["kind"] == "decision":
            sums[tenant]["allowed" if record["verdict"] == "allow" else "refused"] += 1
        elif record["kind"] == "response":
            sums[tenant].update(_of_response(record))
            left[tenant].update(record["skipped"])
            outcomes[tenant][record["outcome"]] += 1
    report = verify(lines_of(str(directory)), key=chain_key(pepper))
    return Books(
        {
            tenant: Account(**counts, left=frozenset(left[tenant]), outcomes=outcomes[tenant])
            for tenant, counts in sums.items()
        },
        files=len(list(directory.glob(f"*{SUFFIX}"))),
        writers=len(report.chains),
        broken=str(report.broken or ""),
        closed=all(chain.closed for chain in report.chains.values()),
        lost=sum(chain.lost for chain in report.chains.values()),
    )


def _of_response(record: Mapping[str, Any]) -> dict[str, int]:
    costs = record["costs"] or {}
    return {
        "responses": 1,
        "scanned": record["scanned_bytes"],
        "skipped": record["skipped_bytes"],
        "sent": record["sent_bytes"],
        "tokens": costs.get("tokens", 0),
        "unsettled": "tokens" not in costs,
        "findings": sum(finding["count"] for finding in record["findings"]),
    }
