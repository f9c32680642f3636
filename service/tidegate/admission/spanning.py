"""Decisions over places that no one script can reach together, such as slots of a cluster: all charges, or none.

Charges of one place are one atomic step. A decision over several takes them one after the other, the tenant's own
first, so that a tenant over its limits takes nothing of what it shares, then that, in one order for all. When
a later place refuses, what the earlier ones took is given back. So, of a limit in another place than the others:

- It never admits more than its capacity: each place counts before the next is asked.
- While what was taken is on its way back, a round trip, it counts: others may be refused for it, whom a script over
  all places would have let in.
- All states are those after the decision, each read at one instant of its own place.
- When this process dies between two steps, what the first took stands, as what a request used does: at most the
  decisions it had in flight, each once. The same is true when a place is out of reach just then, for longer than
  `_UNDO`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Any, Protocol

from tidegate.admission.denials import Denials
from tidegate.admission.keys import is_shared
from tidegate.admission.ledger import NOTHING, Extension, Ledger
from tidegate.errors import StoreUnavailable
from tidegate.model import Admission, Charge, Limit, LimitState

_UNDO = 5.0
_WORST = ("exact", "share", "none")


class Places(Protocol):
    """Where charges are counted, by hash tag."""

    def tag(self, charge: Charge) -> str:
        """The place of a charge."""
        ...

    def at(self, tag: str) -> Ledger:
        """What counts there."""
        ...

    def live(self) -> int:
        """How many replicas share what there is, this one included."""
        ...

    def exact(self) -> bool:
        """Whether no place is known to be out."""
        ...

    async def ready(self) -> bool:
        """Whether all of them answer now."""
        ...

    async def close(self) -> None:
        """Release connections and background tasks."""
        ...


class SpanningLedger:
    """A `Ledger` over many places. A reservation names each part of it and its place: `r1{acme} r2{platform|}`.

    `denials` spare the places what they refused a moment ago; they say nothing while one of them is out.
    """

    def __init__(self, places: Places, *, denials: Denials | None = None) -> None:
        self._places = places
        self._denials = denials
        self._deciding: set[asyncio.Task[object]] = set()

    def live(self) -> int:
        """How many replicas share what there is, this one included."""
        return self._places.live()

    async def reserve(self, charges: Sequence[Charge], *, hold: float | None = None) -> Admission:
        """Take every charge or none: in one step when they are in one place, else place by place.

        A caller that goes away leaves the steps to end as they would have; what they reserve is given back.
        """
        denials = self._denials if self._places.exact() else None
        if denials is None:
            return await self._reserve(charges, hold)
        asked = denials.now()
        if (known := denials.refusal(charges, asked)) is not None:
            return known
        answer = await self._reserve(charges, hold)
        if answer.refused is not None and answer.enforcement == "exact":
            denials.remember(charges, answer, asked)
        return answer

    async def _reserve(self, charges: Sequence[Charge], hold: float | None) -> Admission:
        groups: dict[str, list[Charge]] = {}
        for charge in charges:
            groups.setdefault(self._places.tag(charge), []).append(charge)
        if not groups:
            return Admission(())
        if len(groups) == 1:
            tag = next(iter(groups))
            answer = await self._places.at(tag).reserve(charges, hold=hold)
            return replace(answer, reservation=_named(answer, tag)) if answer.reservation else answer
        if hold is None and (
            leased := next((c for c in charges if c.limit.algorithm == "concurrency" and c.cost), None)
        ):
            raise ValueError(f"a charge on {leased.limit.name} needs a hold: nobody could end its lease")
        deciding = asyncio.create_task(self._decide(charges, groups, hold))
        self._finish(deciding)
        try:
            return await asyncio.shield(deciding)
        except asyncio.CancelledError:
            self._finish(asyncio.create_task(self._cancel(deciding)))
            raise

    async def settle(self, reservation: str, costs: Mapping[str, int]) -> bool:
        """Replace reserved costs by actual ones, in every place, once."""
        parts = [_part(text) for text in reservation.split(" ")]
        settling = (self._places.at(tag).settle(name, costs) for name, tag in parts if tag)
        settled = False
        for outcome in await asyncio.gather(*settling, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
            settled = settled or outcome
        return settled

    async def extend(self, reservation: str, costs: Mapping[str, int], *, hold: float) -> Extension:
        """Add to what is reserved, place by place, and renew all. "gone" when no place knows it.

        What a later place refuses stays reserved in the earlier ones, until the settlement.
        """
        outcomes: list[Extension] = []
        for name, tag in [_part(text) for text in reservation.split(" ")]:
            if tag:
                more = {} if "refused" in outcomes else costs
                outcomes.append(await self._places.at(tag).extend(name, more, hold=hold))
        return "refused" if "refused" in outcomes else "extended" if "extended" in outcomes else "gone"

    async def ready(self) -> bool:
        """Whether all places answer now."""
        return await self._places.ready()

    async def close(self) -> None:
        """Close what counts; decisions that are not over fail."""
        await self._places.close()
        if self._deciding:
            await asyncio.wait(self._deciding)

    def _finish(self, task: asyncio.Task[Any]) -> None:
        self._deciding.add(task)
        task.add_done_callback(self._decided)

    async def _cancel(self, deciding: asyncio.Task[Admission]) -> None:
        admission = await deciding
        if admission.reservation:
            await self.settle(admission.reservation, NOTHING)

    def _decided(self, task: asyncio.Task[object]) -> None:
        self._deciding.discard(task)
        if not task.cancelled():
            task.exception()

    async def _decide(
        self, charges: Sequence[Charge], groups: Mapping[str, list[Charge]], hold: float | None
    ) -> Admission:
        order = sorted(groups, key=lambda tag: (all(c.limit.shadow for c in groups[tag]), is_shared(tag), tag))
        answers: dict[str, Admission] = {}
        admitted = False
        try:
            for tag in order:
                kept = _UNDO if hold is None and tag != order[-1] else hold
                answers[tag] = await self._places.at(tag).reserve(groups[tag], hold=kept)
                if answers[tag].refused is not None:
                    break
            else:
                admitted = True
        finally:
            if not admitted:
                await asyncio.gather(*(self._give_back(tag, answer) for tag, answer in answers.items()))
        if admitted:
            parts = [_named(answers[tag], tag) for tag in order if answers[tag].reservation]
            return self._joined(charges, answers, "" if hold is None else " ".join(parts))
        refusing = next(tag for tag, answer in answers.items() if answer.refused is not None)
        others = [tag for tag in order if tag != refusing]
        looks = await asyncio.gather(*(self._look(tag, groups[tag]) for tag in others))
        return self._joined(charges, {refusing: answers[refusing], **dict(zip(others, looks, strict=True))}, "")

    async def _give_back(self, tag: str, answer: Admission) -> None:
        if answer.reservation:
            with suppress(StoreUnavailable):
                await self._places.at(tag).settle(answer.reservation, NOTHING)

    async def _look(self, tag: str, group: list[Charge]) -> Admission:
        """What a place says of its charges, of which none is taken: one more, that never fits, sees to that."""
        binding = next((charge for charge in group if not charge.limit.shadow), None)
        if binding is not None:
            never = binding._replace(cost=binding.limit.capacity + 1)
        else:
            never = Charge(_without_room(group[0].limit), group[0].key)
        try:
            answer = await self._places.at(tag).reserve([*group, never], hold=_UNDO)
        except StoreUnavailable:
            return Admission(())
        await self._give_back(tag, answer)  # a place that is out, and allows everything, has taken it
        return answer

    def _joined(self, charges: Sequence[Charge], answers: Mapping[str, Admission], reservation: str) -> Admission:
        left = {tag: iter(answer.states) for tag, answer in answers.items()}
        tags = [self._places.tag(charge) for charge in charges if not charge.limit.shadow]
        states = [state for state in (next(left[tag], None) for tag in tags) if state is not None]
        refused: LimitState | None = None
        if any(answer.refused for answer in answers.values()):
            refused = max((state for state in states if state.retry_after), key=lambda state: state.retry_after)
        shadowed = [state for tag in dict.fromkeys(map(self._places.tag, charges)) for state in answers[tag].shadowed]
        enforcement = max((answer.enforcement for answer in answers.values()), key=_WORST.index)
        return Admission(tuple(states), refused, reservation, enforcement, tuple(shadowed))


def _named(answer: Admission, tag: str) -> str:
    """A reservation with its place; one in Redis has it already."""
    return answer.reservation if answer.reservation.startswith("r") else f"{answer.reservation}{{{tag}}}"


def _part(text: str) -> tuple[str, str]:
    """What a place calls its part of a reservation, and the place; "" when it has none."""
    name, _, tag = text.partition("{")
    return text if text.startswith("r") else name, tag.removesuffix("}")


@lru_cache(maxsize=256)
def _without_room(limit: Limit) -> Limit:
    return replace(limit, shadow=False, capacity=0)
