"""What must hold after a load: the same exchanges, as four who counted them apart from each other say.

The client, the model, the ledger in Redis and the service's audit log. A check is a row that a newcomer can read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tests.load.books import Account, Books
from tests.load.kinds import KINDS, LET_IN
from tests.load.model import Counts
from tests.load.tally import Tally
from tests.load.watch import MEBI, Sample, growth

WHOLE = "acme"
"""The tenant whose answers all come to their end, so that every figure is exact."""
FRAYED = "frayed"
"""The one whose clients leave and whose model resets: requests are exact, all else is a bound."""
SPENT = "spent"
TENANTS = (WHOLE, FRAYED, SPENT)
_STRUCTURE = frozenset({"number"})
"""What of the answers holds no text: numbers, which are too short to be a value."""
_DESCRIPTORS, _TASKS = 8, 2  # more than before: connections to Redis that were not needed then; a task that just ends


class Life(NamedTuple):
    """A worker: before the load, each few seconds of it after the warm-up, and when all of it was over."""

    before: Sample
    samples: tuple[Sample, ...]
    after: Sample


class Charged(NamedTuple):
    """What stands in Redis against a tenant's limits, and how many reservations are still held."""

    used: Mapping[str, int]
    held: int


@dataclass(frozen=True)
class Evidence:
    """Everything that was seen of a load. At least `streams` had to be open, a worker may grow by `most_growth`."""

    streams: int
    tally: Tally
    counts: Counts
    charged: Mapping[str, Charged]
    books: Books
    metrics: Mapping[str, float]
    workers: Sequence[Life]
    most_growth: int


class Check(NamedTuple):
    """One row: what was looked at, what had to be, what was, and whether that is good."""

    what: str
    expected: str
    found: str
    good: bool


def checks(evidence: Evidence) -> list[Check]:
    """All of them."""
    return [
        *_clients(evidence),
        *_charges(evidence),
        *_reading(evidence),
        *_log(evidence),
        *_left_over(evidence),
        *_memory(evidence),
    ]


def _equal(what: str, **figures: float) -> Check:
    """Figures that must all be the same, by who says them."""
    values = list(figures.values())
    said = ", ".join(f"{name} {value:,.0f}" for name, value in figures.items())
    return Check(what, "all the same, and not 0", said, len(set(values)) == 1 and values[0] > 0)


def _none(what: str, found: Mapping[str, float]) -> Check:
    """Figures that must all be 0."""
    bad = {name: value for name, value in found.items() if value}
    said = ", ".join(f"{name}: {value:,.0f}" for name, value in bad.items())
    return Check(what, "none", said or "none", not bad)


def _of(counts: Mapping[str, int], tenant: str) -> int:
    return sum(count for name, count in counts.items() if KINDS[name].tenant == tenant)


def _let_in(tally: Tally, tenant: str) -> int:
    return sum(tally.let_in(name) for name in tally.outcomes if KINDS[name].tenant == tenant)


def _account(books: Books, tenant: str) -> Account:
    return books.accounts.get(tenant, Account())


def _clients(seen: Evidence) -> Iterator[Check]:
    tally, counts = seen.tally, seen.counts
    seen_kinds = sum(bool(sum(outcomes.values())) for outcomes in tally.outcomes.values())
    yield Check("kinds of exchange", f"all {len(KINDS)}", str(seen_kinds), seen_kinds == len(KINDS))
    yield _none("answers that were not right", tally.wrong)
    places = [f"{leak.kind} {leak.seed} in its {leak.where}" for leak in tally.leaks]
    yield _none("planted values that got out", {"values": len(tally.leaks), **dict.fromkeys(places[:5], 1)})
    reached = sum(count for name, count in counts.requests.items() if KINDS[name].let_in == 0)
    wrong = {"answered": tally.wrong_allows, "reached the model": reached}
    yield _none("callers who were let in and had to be refused", wrong)
    told = {"credentials": counts.credentials, "wrong tenants": counts.strangers, "unknown": counts.unknown}
    yield _none("what the model must not be told", told)
    least, most = tally.held
    yield Check("streams held all the time", f"at least {seen.streams}", f"{least} to {most}", least >= seen.streams)


def _charges(seen: Evidence) -> Iterator[Check]:
    for tenant, limit in ((WHOLE, "requests"), (FRAYED, "requests"), (SPENT, "few")):
        yield _equal(
            f"requests of {tenant}",
            client=_let_in(seen.tally, tenant),
            model=_of(seen.counts.requests, tenant),
            redis=seen.charged[tenant].used.get(limit, 0),
            log=_account(seen.books, tenant).allowed,
        )
    spent = seen.charged[SPENT].used.get("few", 0)
    yield Check("a limit that was used up", f"at {LET_IN}", str(spent), spent == LET_IN)
    yield _equal(
        f"tokens of {WHOLE}",
        model=_of(seen.counts.tokens, WHOLE),
        redis=seen.charged[WHOLE].used.get("tokens", 0),
        log=_account(seen.books, WHOLE).tokens,
    )
    frayed = _account(seen.books, FRAYED)
    yield _equal(f"tokens of {FRAYED}", redis=seen.charged[FRAYED].used.get("tokens", 0), log=frayed.tokens)
    outcomes = {name: value for name, value in seen.metrics.items() if name.startswith("settlement ")}
    settled = outcomes.pop("settlement settled", 0)
    yield _none("settlements that failed or came late", outcomes)
    running = _account(seen.books, WHOLE).allowed + frayed.allowed
    yield _equal("settlements", log=running, settled=settled)


def _reading(seen: Evidence) -> Iterator[Check]:
    whole, frayed = _account(seen.books, WHOLE), _account(seen.books, FRAYED)
    yield _equal(f"bytes of {WHOLE} that came", model=_of(seen.counts.served, WHOLE), log=whole.received)
    served = _of(seen.counts.served, FRAYED)
    good = 0 < frayed.received <= served
    yield Check(f"bytes of {FRAYED} that came", f"at most the {served:,} of the model", f"{frayed.received:,}", good)
    left = (whole.left | frayed.left) - _STRUCTURE
    yield _none("reasons why text was not read", dict.fromkeys(left, 1))
    yield _equal(f"values planted for {WHOLE}", model=_of(seen.counts.planted, WHOLE), found=whole.findings)
    yield _equal(f"bytes of {WHOLE} that left", client=_of(seen.tally.received, WHOLE), log=whole.sent)
    got = _of(seen.tally.received, FRAYED)
    yield Check(
        f"bytes of {FRAYED} that left", f"at least the client's {got:,}", f"{frayed.sent:,}", frayed.sent >= got
    )
    for name in ("scanned", "skipped"):
        yield _equal(f"bytes {name}, all callers", metrics=seen.metrics[name], log=seen.books.total(name))


def _log(seen: Evidence) -> Iterator[Check]:
    books, tally = seen.books, seen.tally
    refused = sum(tally.count(status) for status in ("401", "403", "429"))
    yield _equal("refusals", client=refused, log=books.total("refused"))
    yield _equal("exchanges", client=tally.total, log=books.total("responses"), metrics=seen.metrics["responses"])
    state = books.broken or ("sound" if books.closed else "not closed")
    yield Check("chains of the audit log", "sound, and closed", f"{books.writers}, {state}", state == "sound")
    many = books.files > books.writers > 0
    yield Check("files of the audit log", "rotated", f"{books.files} of {books.writers} writers", many)
    yield _none("audit records that were lost", {"log": books.lost, "metrics": seen.metrics["audit lost"]})


def _left_over(seen: Evidence) -> Iterator[Check]:
    held = {f"reservations of {tenant}": charged.held for tenant, charged in seen.charged.items()}
    places = {f"places of {tenant}": charged.used.get("open", 0) for tenant, charged in seen.charged.items()}
    gauges = {name: seen.metrics[name] for name in ("streams", "envoy requests", "envoy policy calls")}
    yield _none("what is still open", {**gauges, **held, **places, "answers of the model": seen.counts.open})
    yield _none("unexpected exceptions", {"workers": seen.metrics["errors"]})
    for index, life in enumerate(seen.workers):
        for what, slack in (("descriptors", _DESCRIPTORS), ("tasks", _TASKS)):
            before, after = getattr(life.before, what), getattr(life.after, what)
            good = 0 < after <= before + slack
            yield Check(f"{what} of worker {index}", f"at most {before} + {slack}", str(after), good)


def _memory(seen: Evidence) -> Iterator[Check]:
    for index, life in enumerate(seen.workers):
        grew = growth(life.samples)
        first, last = (life.samples[0], life.samples[-1]) if life.samples else (life.before, life.after)
        said = f"{grew / MEBI:+.1f} MiB ({first.resident / MEBI:.0f} → {last.resident / MEBI:.0f})"
        good = len(life.samples) > 1 and grew <= seen.most_growth
        yield Check(f"memory of worker {index}", f"at most +{seen.most_growth / MEBI:.0f} MiB", said, good)
