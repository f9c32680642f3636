"""From the limits that apply to a request to the charges on them: rendering `limit.per` into an unambiguous key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b
from ipaddress import IPv6Address, ip_address

from tidegate.model import Charge, Limit

ATTRIBUTES = frozenset(
    {"tenant", "subject", "client_id", "tier", "scope", "model", "endpoint", "client_ip", "api_key", "method"}
)
"""What `Limit.per` may name."""

_OF_A_TENANT = frozenset({"tenant", "subject", "client_id", "api_key"})
_PLAIN = re.compile(r"[A-Za-z0-9_.:@/+=-]{0,80}").fullmatch


def charges_for(
    limits: Iterable[Limit], attributes: Mapping[str, str], cost: int | Mapping[str, int] = 1
) -> tuple[Charge, ...]:
    """One charge on each limit, in order, keyed by the attributes that the limit names.

    `cost` is what each is charged, whatever it counts, or gives the cost by unit: then all units must be there that
    the limits count, or KeyError is raised. An exchange takes one place of what may run at once, whatever it costs.

    Values are joined by "|". A value that is longer than 80 characters or holds anything but letters, digits and
    `_.:@/+=-` is replaced by "~" and 128 bits of its BLAKE2b hash, so different values cannot meet in one key. A
    client address is reduced to what one subscriber holds: an IPv4 address (also when it is mapped into IPv6), or
    the /64 of an IPv6 one. An attribute that is missing counts as empty: such callers share one key.
    """
    charges = []
    same = cost if isinstance(cost, int) else None
    costs = {} if isinstance(cost, int) else cost
    for limit in limits:
        per = counted(limit.per)
        if len(per) == 1:
            key = render(per[0], attributes.get(per[0], ""))
        elif per:
            key = "|".join([render(name, attributes.get(name, "")) for name in per])
        else:
            key = ""
        if limit.algorithm == "concurrency":
            charges.append(Charge(limit, key, 1))
        else:
            charges.append(Charge(limit, key, costs[limit.cost] if same is None else same))
    return tuple(charges)


@lru_cache(maxsize=1024)
def counted(per: tuple[str, ...]) -> tuple[str, ...]:
    """The attributes that make the key of a limit: the tenant first where it has one, then the others in order.

    A subject, a client id and an API key count within their tenant: two issuers may give one name to two callers, who
    must not spend each other's limits.
    """
    if _OF_A_TENANT.isdisjoint(per):
        return per
    return ("tenant", *[name for name in per if name != "tenant"])


@lru_cache(maxsize=32_768)
def render(name: str, value: str) -> str:
    """The value of one attribute as it stands in a key."""
    if name == "client_ip":
        value = _subscriber(value)
    if _PLAIN(value):
        return value
    return "~" + blake2b(value.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _subscriber(value: str) -> str:
    try:
        address = ip_address(value)
    except ValueError:
        return value
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return f"{IPv6Address(int(address) >> 64 << 64)}/64"
    return str(address)
