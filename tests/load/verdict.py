"""What must hold after a fault, whatever it was: nothing leaked, nobody passed, no charge is lost, and it is over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.load.books import Account, Books
from tests.load.checks import FRAYED, SPENT, WHOLE, Charged, Check
from tests.load.faults import Fault
from tests.load.kinds import KINDS, LET_IN
from tests.load.model import Counts
from tests.load.scene import none
from tests.load.tally import Tally

LIMITS: Final = {WHOLE: "requests", FRAYED: "requests", SPENT: "few"}
"""The limit that counts each tenant's requests."""
_ANSWERED: Final = ("chat", "chat-stream", "messages-stream", "generate-stream")
_REFUSED: Final = tuple(name for name, kind in KINDS.items() if kind.let_in is not None)
_MOST_TOKENS: Final = 300
"""Of an exchange of the traffic; `large` is not in it."""


@dataclass(frozen=True)
class Evidence:
    """All that was seen. `recovered` is when the last wrong outcome was over, seconds after the strike.

    `calm` is what was over before the strike, `struck` when that was over. `callers` are how many exchanges ran at
    once. `looked_at` is what the strike saw itself, `books` what the audit log says, `errors` how many unexpected
    exceptions the workers had, and `logged` how many planted values and keys stand in a log.
    """

    tally: Tally
    calm: Tally
    struck: Tally
    recovered: float
    callers: int
    counts: Counts
    charged: Mapping[str, Charged]
    looked_at: Sequence[Check]
    books: Books
    errors: int
    logged: int

    def outcomes(self, *, right: bool, tenant: str | None = None) -> Counter[str]:
        """How often each outcome was seen that is right for its kind, or is not; of all callers or of one tenant's."""
        found: Counter[str] = Counter()
        for name, outcomes in self.tally.outcomes.items():
            if tenant is None or KINDS[name].tenant == tenant:
                found.update({what: n for what, n in outcomes.items() if n and (what in KINDS[name].right) is right})
        return found


def judge(fault: Fault, seen: Evidence) -> list[Check]:
    """Everything, good or not."""
    return [*_clients(fault, seen), *_harm(fault, seen), *_charges(fault, seen), *seen.looked_at]


def _clients(fault: Fault, seen: Evidence) -> Iterator[Check]:
    early = seen.calm.wrong
    yield Check("outcomes before the strike", "the right ones", _said(early), not early)
    strange = {what: n for what, n in seen.tally.wrong.items() if what.partition(": ")[2] not in fault.may}
    yield Check("outcomes", f"the right ones, {', '.join(sorted(fault.may))}", _said(strange), not strange)
    part = seen.outcomes(right=False).total() / max(1, seen.tally.total)
    yield Check("exchanges that failed", f"at most {fault.most:.0%}", f"{part:.1%}", part <= fault.most)
    well = seen.recovered <= fault.recovers
    yield Check("the last of them", f"{fault.recovers:g} s after the strike", f"{seen.recovered:.1f} s", well)
    without = silent(seen.tally.since(seen.struck))
    yield Check("kinds without an answer after the strike", "none", ", ".join(without) or "none", not without)
    tried = sum(sum(seen.tally.outcomes.get(name, {}).values()) for name in _REFUSED)
    yield Check("exchanges that had to be refused", "some", f"{tried:,}", tried > 0)


def silent(after: Tally) -> list[str]:
    """Kinds that should have been answered, or refused, and were not: nothing is known of those."""
    answered = {name: frozenset({"200"}) for name in _ANSWERED}
    due = answered | {name: KINDS[name].right for name in _REFUSED}
    return [name for name, right in due.items() if not any(after.outcomes.get(name, {}).get(what) for what in right)]


def _harm(fault: Fault, seen: Evidence) -> Iterator[Check]:
    yield none("planted values that got out", len(seen.tally.leaks))
    planted = sum(seen.counts.planted.values())
    yield Check("values that the model planted", "some", f"{planted:,}", planted > 0)
    yield none("planted values and keys in a log", seen.logged)
    let_in = passed(fault, seen)
    yield Check("let in, and had to be refused", "none", _said(let_in), not let_in)
    reached = _beyond(fault, seen.counts.requests)
    yield Check("the same, as the model saw it", "none", _said(reached), not reached)
    told = seen.counts.credentials + seen.counts.strangers + seen.counts.unknown
    yield none("requests with a credential, or under another's name, at the model", told)
    yield none("unexpected exceptions", seen.errors)
    state = seen.books.broken or "sound"
    yield Check("the audit log", "sound", state, state == "sound")
    lost, most = seen.books.lost, seen.tally.count("503")  # a refusal for want of the log is only counted
    may = "any number" if fault.drops else f"at most {most}"
    yield Check("audit records that were lost", may, f"{lost}", fault.drops or lost <= most)


def passed(fault: Fault, seen: Evidence) -> dict[str, int]:
    """Kinds of callers who were answered and had to be refused, and how often."""
    return _beyond(fault, {name: seen.tally.let_in(name) for name in seen.tally.outcomes})


def shares(workers: int = 2) -> int:
    """How many more an outage lets in: a limit by the store, and by the shares (docs/limits.md, "Who counts")."""
    return workers * max(1, LET_IN // workers)


def _beyond(fault: Fault, let_in: Mapping[str, int]) -> dict[str, int]:
    """Who was let in more often than the kind may be."""
    found = {}
    for name, count in let_in.items():
        most = KINDS[name].let_in
        if most is not None:
            most += shares() if most and fault.outage else 0
            found[name] = count - most
    return {name: count for name, count in found.items() if count > 0}


def _charges(fault: Fault, seen: Evidence) -> Iterator[Check]:
    for tenant, limit in LIMITS.items():
        asked = _of(seen.counts.requests, tenant)
        failed = seen.outcomes(right=False, tenant=tenant).total()
        may = failed + seen.callers if fault.dies or fault.outage else 0
        most = asked + max(failed, may)
        charged = seen.charged[tenant].used.get(limit, 0)
        good = asked <= charged <= most
        yield Check(f"requests of {tenant} in the ledger", f"{asked:,} to {most:,}", f"{charged:,}", good)
        taken = seen.charged[tenant].used.get("open", 0)
        yield Check(f"places of {tenant} still taken", f"at most {may}", str(taken), taken <= may)
        held = seen.charged[tenant].held
        yield Check(f"reservations of {tenant} still held", f"at most {may}", str(held), held <= may)
        allowed = seen.books.accounts.get(tenant, Account()).allowed
        least = asked - (seen.callers if fault.dies else 0) - (seen.books.lost if fault.drops else 0)
        good = least <= allowed and (fault.outage or allowed <= charged)
        yield Check(f"requests of {tenant} on record", f"{least:,} to {charged:,}", f"{allowed:,}", good)
    spare = seen.outcomes(right=False, tenant=WHOLE).total() * _MOST_TOKENS
    told, charged = _of(seen.counts.tokens, WHOLE), seen.charged[WHOLE].used.get("tokens", 0)
    least = told - (spare if fault.dies else 0)
    good = charged >= least and (fault.outage or fault.dies or charged <= told + spare)
    limits = f"at least {least:,}" if fault.outage or fault.dies else f"{least:,} to {told + spare:,}"
    yield Check(f"tokens of {WHOLE} in the ledger", limits, f"{charged:,}", good)


def _of(counts: Mapping[str, int], tenant: str) -> int:
    return sum(count for name, count in counts.items() if KINDS[name].tenant == tenant)


def _said(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{what}: {count}" for what, count in counts.items()) or "none"
