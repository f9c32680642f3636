"""The protocol every limit store fulfils: one atomic step charges every limit, or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from tidegate.model import Admission, Charge


class Ledger(Protocol):
    """Counts against limits. All charges of one call are taken together or not at all; a refusal costs nothing."""

    async def reserve(self, charges: Sequence[Charge], *, hold: float | None = None) -> Admission:
        """Take every charge, or none and name the limit that refused (the one with the longest wait).

        A charge that does not fit a shadow limit is left out, and the limit is named as `shadowed`.

        With `hold` (seconds), a reservation id comes back that `settle` can use until it expires; afterwards the
        reserved cost stands. Raises `StoreUnavailable` when the store cannot answer.
        """
        ...

    async def settle(self, reservation: str, costs: Mapping[str, int]) -> bool:
        """Replace reserved costs of `reservation` by actual ones (>= 0, by the unit that the limit counts), once.

        Charges in units that are not in `costs` keep what was reserved. A second call, or one after expiry, changes
        nothing and returns False. A settled cost may exceed the limit: what was used was used. Raises
        `StoreUnavailable`.
        """
        ...

    async def ready(self) -> bool:
        """Whether the store answers now."""
        ...

    async def close(self) -> None:
        """Release connections and background tasks."""
        ...
