"""The protocol every limit store fulfils: one atomic step charges every limit, or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal, Protocol

from tidegate.model import UNITS, Admission, Charge

Extension = Literal["extended", "refused", "gone"]
NOTHING: Final[Mapping[str, int]] = MappingProxyType(dict.fromkeys(UNITS, 0))
"""What an exchange that never was has cost: a reservation that is settled with this is cancelled."""


class Ledger(Protocol):
    """Counts against limits. All charges of one call are taken together or not at all; a refusal costs nothing."""

    async def reserve(self, charges: Sequence[Charge], *, hold: float | None = None) -> Admission:
        """Take every charge, or none and name the limit that refused (the one with the longest wait).

        A charge that does not fit a shadow limit is left out, and the limit is named as `shadowed`.

        With `hold` (seconds), a reservation id comes back that `settle` can use until it expires; afterwards the
        reserved cost stands. A charge on a limit on concurrency takes a lease, for the limit's `period`: it ends with
        `settle`, or when that time has passed since it was taken or last renewed by `extend`, so a crash frees it.

        A caller that is cancelled does not learn of its reservation, so that is cancelled too, without anybody waiting
        for it. What was charged without `hold` stands: nothing is left to give it back by.

        Raises `StoreUnavailable` when the store cannot answer, and ValueError for a charge on concurrency without
        `hold`: nobody could end it.
        """
        ...

    async def settle(self, reservation: str, costs: Mapping[str, int]) -> bool:
        """Replace reserved costs of `reservation` by actual ones (>= 0, by the unit that the limit counts), once.

        Charges in units that are not in `costs` keep what was reserved. A second call, or one after expiry, changes
        nothing and returns False. A settled cost may exceed the limit: what was used was used. Leases end, whatever
        `costs` are; ending one that has lapsed frees nobody else's. Raises `StoreUnavailable`.
        """
        ...

    async def extend(self, reservation: str, costs: Mapping[str, int], *, hold: float) -> Extension:
        """Add `costs` (>= 0, by unit) to what `reservation` holds on every limit that counts the unit, all or none.

        "extended": it is held for at least another `hold` seconds, and its leases for another `period` of theirs; with
        no costs it always is. "refused": a limit has no room for more. What was held still is, and was renewed as for
        "extended". A shadow limit never refuses: it is left out. "gone": unknown, settled or expired.

        More cost counts where the charge does (see `reference_holds`), and is settled with it. A lease that had
        lapsed is taken again, even where the places are all taken: its exchange runs. Raises `StoreUnavailable`.
        """
        ...

    async def ready(self) -> bool:
        """Whether the store answers now."""
        ...

    async def close(self) -> None:
        """Release connections and background tasks."""
        ...


class Store(Ledger, Protocol):
    """A ledger outside this process, which can be out and is owed what was used meanwhile."""

    async def enter(self, charges: Sequence[Charge], *, once: str, keep: float) -> bool:
        """Charge what was used elsewhere, whether or not it fits; False when `once` was entered before.

        `once` names this entry for `keep` seconds, so an entry whose answer was lost can be repeated. Raises
        `StoreUnavailable`.
        """
        ...
