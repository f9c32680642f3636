"""What limits are called in a store that replicas share, and how to read it back.

    prefix|{tenant}|scope|name|algorithm|unit|rest     what belongs to one tenant
    prefix|{scope|key}|name|algorithm|unit             what tenants share
    prefix|{tag}|hold|token                            a reservation, beside a charge that it covers

Redis Cluster places a key by what stands between its first braces, so all that is charged to one tenant lies in one
slot, and what is shared is spread over all. A limit belongs to one tenant when its scope is a tenant, or when it is
counted by tenant, subject or API key; `rest` are the values of its other attributes. Algorithm and unit are letters.
"%", "|" and braces in scopes and names are percent-encoded; values are `charges.render`ed and hold none of them.

A reservation is called `token{tag}`, so that whoever settles it knows where it lies.
"""

from __future__ import annotations

from typing import NamedTuple, get_args
from urllib.parse import unquote

from tidegate.admission.charges import counted, render
from tidegate.model import Algorithm, Limit, Unit

KINDS: dict[Algorithm, str] = {
    "token_bucket": "t",
    "sliding_window": "w",
    "sliding_window_counter": "c",
    "quota": "q",
    "concurrency": "l",
}
UNITS: dict[str, str] = {
    "requests": "r",
    "request_bytes": "b",
    "tokens": "t",
    "prompt_tokens": "p",
    "completion_tokens": "c",
    "money": "m",
}
_ALGORITHMS = {KINDS[algorithm]: algorithm for algorithm in get_args(Algorithm)}
_COUNTED = {UNITS[unit]: unit for unit in get_args(Unit)}
_NOBODY = "~"  # `{}` is no hash tag; no value is rendered as this


class Naming:
    """Names the keys of one limit; `letters` are those of its algorithm and unit."""

    __slots__ = ("_after", "_before", "_by_tenant", "_tenant", "letters")

    def __init__(self, prefix: str, limit: Limit) -> None:
        self.letters = f"{KINDS[limit.algorithm]}{UNITS[limit.cost]}"
        scope, name = _quoted(limit.scope), _quoted(limit.name)
        kind = f"{KINDS[limit.algorithm]}|{UNITS[limit.cost]}"
        level, _, owner = limit.scope.partition(":")
        self._by_tenant = "tenant" in counted(limit.per)
        self._tenant = render("tenant", owner) if level == "tenant" and not self._by_tenant else ""
        if self._by_tenant:
            self._before, self._after = f"{prefix}|{{", f"}}|{scope}|{name}|{kind}|"
        elif self._tenant:
            self._before, self._after = f"{prefix}|{{{self._tenant}}}|{scope}|{name}|{kind}|", ""
        else:
            self._before, self._after = f"{prefix}|{{{scope}|", f"}}|{name}|{kind}"

    def key(self, key: str) -> str:
        """The key under which a charge on `key` is counted."""
        if self._by_tenant:
            tenant, _, rest = key.partition("|")
            return f"{self._before}{tenant or _NOBODY}{self._after}{rest}"
        return f"{self._before}{key}{self._after}"

    def tag(self, key: str) -> str:
        """The hash tag of that key: charges of one tag lie in one slot."""
        if self._by_tenant:
            return key.partition("|")[0] or _NOBODY
        return self._tenant or key_tag(f"{self._before}{key}{self._after}")


class LimitKey(NamedTuple):
    """A key as it was read back. `tenant` is None for what tenants share, and "" for callers without one."""

    scope: str
    name: str
    algorithm: Algorithm
    unit: Unit
    tenant: str | None
    rest: str

    def key_of(self, limit: Limit) -> str:
        """The `Charge.key` on `limit`, the one of this scope and name, that is counted here."""
        names = counted(limit.per)
        if "tenant" not in names:
            return self.rest
        return f"{self.tenant or ''}|{self.rest}" if len(names) > 1 else self.tenant or ""

    def attributes(self, limit: Limit) -> dict[str, str]:
        """What is counted here, by attribute of `limit`, as rendered. Raises ValueError when `limit` counts others."""
        names = counted(limit.per)
        values = self.key_of(limit).split("|") if names else []
        return dict(zip(names, values, strict=True))


def parse(prefix: str, key: str) -> LimitKey | None:
    """What is counted under `key`; None for a reservation, or anything else that is no limit's."""
    tag = key_tag(key)
    head = f"{prefix}|{{{tag}}}|"
    if not tag or not key.startswith(head):
        return None
    parts = key[len(head) :].split("|", 4)
    tenant: str | None = None
    if is_shared(tag):
        scope, _, rest = tag.partition("|")
        parts = [scope, *parts, rest]
    else:
        tenant = "" if tag == _NOBODY else tag
    if len(parts) != 5:
        return None
    scope, name, kind, unit, rest = parts
    if kind not in _ALGORITHMS or unit not in _COUNTED or "}" in rest:  # a reservation that someone made up has braces
        return None
    return LimitKey(unquote(scope), unquote(name), _ALGORITHMS[kind], _COUNTED[unit], tenant, rest)


def tenant_pattern(prefix: str, tenant: str) -> str:
    """A glob, for SCAN, that all keys of `tenant` and its reservations match, and nothing of anybody else's."""
    tag = render("tenant", tenant) or _NOBODY
    return "".join(f"\\{c}" if c in "*?[]\\" else c for c in f"{prefix}|{{{tag}}}|") + "*"


def is_shared(tag: str) -> bool:
    """Whether a tag is that of what tenants share."""
    return "|" in tag


def hold_key(prefix: str, reservation: str) -> str:
    """The key of a reservation. It can be no limit's, whatever text it is given."""
    token, _, tag = reservation.partition("{")
    return f"{prefix}|{{{tag.removesuffix('}')}}}|hold|{token}"


def key_tag(key: str) -> str:
    """What stands between the first braces; "" when there is no pair of them."""
    inside, closed, _ = key.partition("{")[2].partition("}")
    return inside if closed else ""


def _quoted(text: str) -> str:
    for character in "%|{}":
        text = text.replace(character, f"%{ord(character):02X}")
    return text
