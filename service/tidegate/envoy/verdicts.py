"""What Envoy has to be told of a decision, in the terms of neither filter."""

from __future__ import annotations

from typing import NamedTuple

from tidegate.envoy.handoff import Handoff
from tidegate.model import Deny
from tidegate.outward import Dialect, Headers


class Admitted(NamedTuple):
    """A request that may pass as the caller that we established, without credential or spoofed identity.

    `caller` is told to the model by `IDENTITY_NAMES`, and `told` in headers of their own names. `credentials` and
    `unwanted` are headers that do not reach it; `shown` goes to the client with the response, whoever writes that.
    """

    handoff: Handoff
    caller: tuple[str, str, str, str]
    told: Headers
    credentials: tuple[str, ...]
    unwanted: tuple[str, ...]
    shown: Headers


class Refused(NamedTuple):
    """A request that may not pass; `shown` goes to the client beside what `deny` itself says."""

    deny: Deny
    request_id: str
    dialect: Dialect
    shown: Headers
