"""What a store that was out is owed: what memory counted in its place, and the settlements that met the outage."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

from tidegate.admission.ledger import Store
from tidegate.admission.scripts import ScriptFailed, SlotMoving, StoreTimedOut
from tidegate.errors import StoreUnavailable
from tidegate.model import Charge

_ENTRY: Final = 64
_KEEP: Final = 3600.0
_MAX_SETTLEMENTS: Final = 100_000


class Owed:
    """Charges and settlements on their way to `store`.

    Charges go in entries, each with a name, so that one whose answer was lost can be repeated without counting twice.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._entries: deque[tuple[str, list[Charge]]] = deque()
        self._settlements: dict[str, Mapping[str, int]] = {}
        self._unknown = 0  # entries that may have arrived, whose answer was lost

    def enter(self, charges: Iterable[Charge], *, once: str = "") -> None:
        """These are to be charged, whether or not they fit. With a name (a few only) no other replica does it again."""
        rest = iter(charges)
        while entry := list(islice(rest, _ENTRY)):
            self._entries.append((once or secrets.token_urlsafe(12), entry))

    def settle(self, reservation: str, costs: Mapping[str, int]) -> bool:
        """This is to be settled; False when it is already. Raises `StoreUnavailable` when too many are."""
        if reservation in self._settlements:
            return False
        if len(self._settlements) >= _MAX_SETTLEMENTS:
            raise StoreUnavailable(f"{_MAX_SETTLEMENTS} settlements wait for the limit store already")
        self._settlements[reservation] = dict(costs)
        return True

    async def pay(self) -> bool:
        """Pay all, one piece at a time so that decisions pass between; False when the store failed again."""
        try:
            await self._pay_entries()
            await self._pay_settlements()
        except StoreUnavailable as error:
            self._unknown = int(isinstance(error, StoreTimedOut))
            return False
        return True

    def take_back(self) -> Iterator[Charge]:
        """After a failure, the charges that did not arrive: they are owed no more, and count elsewhere again."""
        while len(self._entries) > self._unknown:
            yield from self._entries.pop()[1]

    async def _pay_entries(self) -> None:
        while self._entries:
            once, charges = self._entries[0]
            try:
                await self._store.enter(charges, once=once, keep=_KEEP)
            except SlotMoving:
                self._entries.rotate(-1)
                continue
            except ScriptFailed:
                pass
            self._entries.popleft()

    async def _pay_settlements(self) -> None:
        while self._settlements:
            reservation, costs = next(iter(self._settlements.items()))
            try:
                await self._store.settle(reservation, costs)
            except SlotMoving:
                self._settlements[reservation] = self._settlements.pop(reservation)
                continue
            except ScriptFailed:
                pass
            del self._settlements[reservation]
