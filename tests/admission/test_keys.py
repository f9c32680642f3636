"""Keys say whose they are: one tenant's in one slot, nobody's in another's, and all can be read back."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot
from tidegate.admission.charges import ATTRIBUTES, charges_for
from tidegate.admission.keys import Naming, hold_key, is_shared, key_tag, parse, tenant_pattern
from tidegate.model import Algorithm, Limit, Unit

CALLER = {name: f"a-{name}" for name in ATTRIBUTES} | {"tenant": "acme", "client_ip": "192.0.2.7"}


def _limit(*per: str, scope: str = "platform", name: str = "x") -> Limit:
    return Limit(scope, name, "sliding_window", 1, 60.0, per=per)


def _key(limit: Limit, **attributes: str) -> str:
    return Naming("tg", limit).key(charges_for([limit], CALLER | attributes)[0].key)


OF_A_TENANT = [
    _limit("tenant"),
    _limit("model", "tenant"),
    _limit("subject"),
    _limit("endpoint", "subject", scope="endpoint:chat"),
    _limit("api_key", scope="tier:free"),
    _limit("client_id", "scope"),
    _limit("subject", "model", scope="subject:acme/ada"),
    _limit(scope="tenant:acme"),
    _limit("model", scope="tenant:acme"),
    _limit("tenant", scope="tenant:acme"),
    _limit("subject", scope="tenant:acme"),
]
SHARED = [_limit(), _limit("client_ip"), _limit("model", "tier"), _limit(scope="endpoint:chat"), _limit(scope="tier:x")]


@pytest.mark.parametrize("tenant", ["acme", "", "a{b", "a}b", "a|b", "x" * 500, "~", "hold"])
def test_what_is_charged_to_one_tenant_lies_in_one_slot(tenant: str) -> None:
    keys = [_key(limit, tenant=tenant) for limit in OF_A_TENANT if not limit.scope.startswith("tenant:")]
    keys += [_key(_limit(*limit.per, scope=f"tenant:{tenant}"), tenant=tenant) for limit in OF_A_TENANT if tenant]
    assert len({key_slot(key.encode()) for key in keys}) == 1
    assert len({key_tag(key) for key in keys}) == 1


def test_what_tenants_share_is_spread() -> None:
    assert len({key_slot(_key(limit).encode()) for limit in SHARED}) == len(SHARED)
    assert len({key_slot(_key(SHARED[1], client_ip=f"192.0.2.{i}").encode()) for i in range(100)}) > 90
    assert _key(SHARED[1]) == "tg|{platform|192.0.2.7}|x|w|r"
    assert _key(OF_A_TENANT[1]) == "tg|{acme}|platform|x|w|r|a-model"


@pytest.mark.parametrize("limit", [*OF_A_TENANT, *SHARED])
def test_the_tag_is_the_keys_own_and_a_hold_lies_beside_it(limit: Limit) -> None:
    naming = Naming("tg", limit)
    charged = charges_for([limit], CALLER)[0].key
    assert naming.tag(charged) == key_tag(naming.key(charged))
    assert is_shared(naming.tag(charged)) is (limit in SHARED)
    hold = hold_key("tg", f"rTOKEN{{{naming.tag(charged)}}}")
    assert key_slot(hold.encode()) == key_slot(naming.key(charged).encode())
    assert parse("tg", hold) is None


@pytest.mark.parametrize("limit", [*OF_A_TENANT, *SHARED])
def test_a_key_is_read_back(limit: Limit) -> None:
    read = parse("tg", _key(limit))
    assert read is not None
    assert (read.scope, read.name, read.algorithm, read.unit) == (limit.scope, limit.name, "sliding_window", "requests")
    assert read.tenant == ("acme" if limit in OF_A_TENANT else None)
    assert read.key_of(limit) == charges_for([limit], CALLER)[0].key
    attributes = read.attributes(limit)
    assert set(limit.per) <= set(attributes)
    assert attributes == {name: CALLER[name] for name in attributes}


@pytest.mark.parametrize(
    "key",
    [
        "",
        "tg",
        "tg|replicas",
        "tg|{}|a|b|w|r|",
        "tg|{acme}",
        "tg|{acme}|a|b|w",
        "x|{a}|a|b|w|r|",
        "tg|{acme}|a|b|z|r|",
        "tg|{acme}|a|b|w|z|",
        "tg|{acme|b|w|r|",
        "tg|{a|b}|n|w|r|x",
    ],
)
def test_what_is_no_limits_key_is_none(key: str) -> None:
    assert parse("tg", key) is None


def test_the_pattern_of_a_tenant_is_its_own() -> None:
    for tenant in ("acme", "", "*", "a*", "a[b", "acm?", "\\"):
        pattern = tenant_pattern("t*g", tenant)
        key = Naming("t*g", _limit("subject")).key(charges_for([_limit("subject")], {"tenant": tenant})[0].key)
        assert _matches(key, pattern)
        assert _matches(hold_key("t*g", f"r1{{{key_tag(key)}}}"), pattern)
    assert not _matches(_key(_limit("tenant"), tenant="acme2"), tenant_pattern("tg", "acme"))
    assert not _matches(_key(_limit("model"), model="acme"), tenant_pattern("tg", "acme"))


def _matches(key: str, pattern: str) -> bool:
    """Redis escapes by a backslash, `fnmatch` by brackets."""
    return fnmatchcase(key, pattern.replace("\\*", "[*]").replace("\\?", "[?]").replace("\\[", "[[]"))


@pytest.mark.parametrize(
    "reservation", ["", "r", "r{", "r}{", "r{acme}|platform|x|w|r|k", "{acme}|platform", "a{b}c{d}"]
)
def test_no_reservation_names_a_limits_key(reservation: str) -> None:
    assert parse("tg", hold_key("tg", reservation)) is None


name = st.text(alphabet="ab|~%:{}", max_size=5)


@given(st.tuples(name, name, name), st.tuples(name, name, name), st.sampled_from(["tenant", "model"]))
def test_different_limits_and_callers_have_different_keys(
    one: tuple[str, str, str], other: tuple[str, str, str], per: str
) -> None:
    keys = [_key(_limit(per, scope=scope, name=called), **{per: value}) for scope, called, value in (one, other)]
    assert (keys[0] == keys[1]) == (one == other)
    for key, (scope, called, _) in zip(keys, (one, other), strict=True):
        read = parse("tg", key)
        assert read is not None
        assert (read.scope, read.name) == (scope, called)


def test_every_algorithm_and_unit_has_its_letter() -> None:
    limits = [Limit("s", "n", kind, 1, 60.0, cost=unit) for kind in get_args(Algorithm) for unit in get_args(Unit)]
    assert len({Naming("tg", limit).letters for limit in limits}) == len(limits)
    read = [parse("tg", Naming("tg", limit).key("")) for limit in limits]
    assert [(key.algorithm, key.unit) for key in read if key] == [(limit.algorithm, limit.cost) for limit in limits]
