"""Keys say who is charged, and no two callers meet in one."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.admission.charges import ATTRIBUTES, charges_for, render
from tidegate.model import UNITS, Charge, Limit
from tidegate.policy.limits import Attribute


def _per(*names: str) -> Limit:
    return Limit("platform", "x", "sliding_window", 1, 60.0, per=names)


def _key(limit: Limit, **attributes: str) -> str:
    return charges_for([limit], attributes)[0].key


def test_one_charge_a_limit_in_order() -> None:
    limits = [_per("tenant"), _per(), _per("tenant", "model")]
    charges = charges_for(limits, {"tenant": "acme", "model": "small"}, 7)
    assert [charge.key for charge in charges] == ["acme", "", "acme|small"]
    assert all(charge.cost == 7 for charge in charges)
    assert [charge.limit for charge in charges] == limits


def test_a_cost_by_unit() -> None:
    limits = [replace(_per(), cost=unit) for unit in UNITS]
    costs = {unit: number for number, unit in enumerate(UNITS)}
    assert [charge.cost for charge in charges_for(limits, {}, costs)] == [0, 1, 2, 3, 4, 5]
    with pytest.raises(KeyError):
        charges_for(limits, {}, {"requests": 1})


@pytest.mark.parametrize("cost", [7, {"requests": 7}, {}])
def test_an_exchange_takes_one_place_whatever_it_costs(cost: int | dict[str, int]) -> None:
    running = replace(_per("tenant"), algorithm="concurrency")
    assert charges_for([running], {"tenant": "acme"}, cost) == (Charge(running, "acme", 1),)


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:0DB8:0001:0002::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_an_address_is_reduced_to_its_subscriber(address: str, key: str) -> None:
    assert _key(_per("client_ip"), client_ip=address) == key


def test_a_missing_attribute_is_empty() -> None:
    assert _key(_per("tenant", "model"), tenant="acme") == "acme|"


@pytest.mark.parametrize("name", ["subject", "client_id", "api_key"])
@pytest.mark.parametrize("others", [(), ("model",)])
def test_one_name_in_two_tenants_is_two_callers(name: str, others: tuple[str, ...]) -> None:
    limit = _per(*others, name)
    assert _key(limit, **{"tenant": "acme", name: "ada"}) != _key(limit, **{"tenant": "beta", name: "ada"})
    assert _key(limit, **{"tenant": "acme", name: "ada"}) == _key(limit, **{"tenant": "acme", name: "ada", "tier": "x"})


def test_the_policy_may_name_every_attribute() -> None:
    assert frozenset(get_args(Attribute)) == ATTRIBUTES


def test_long_and_odd_values_are_hashed() -> None:
    key = _key(_per("model"), model="x" * 1000)
    assert key.startswith("~")
    assert len(key) == 33
    assert _key(_per("model"), model="\ud800\n").startswith("~")


text = st.text() | st.text(alphabet="ab|~%:", max_size=4)


@given(st.tuples(text, text), st.tuples(text, text))
def test_different_callers_have_different_keys(one: tuple[str, str], other: tuple[str, str]) -> None:
    limit = _per("tenant", "subject")
    keys = [_key(limit, tenant=tenant, subject=subject) for tenant, subject in (one, other)]
    assert (keys[0] == keys[1]) == (one == other)


@given(text, text)
def test_a_hash_cannot_be_given_as_a_name(one: str, other: str) -> None:
    assert (render("tenant", one) == render("tenant", other)) == (one == other)
    assert render("tenant", render("tenant", "a b")) != render("tenant", "a b")
