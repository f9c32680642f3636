"""Money is what the tokens cost, exactly, rounded up once; and nothing that a model says makes it negative."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.model import Limit, Price, Unit
from tidegate.policy import parse_policy
from tidegate.policy.amounts import MAX_PRICE, amount_text, parse_amount, parse_price
from tidegate.usage.costs import MAX_UNITS, Costs
from tidegate.usage.estimate import estimate
from tidegate.usage.meter import Meter
from tidegate.usage.price import counts_money, in_money, money_of

PRICES = st.builds(Price, *[st.integers(0, MAX_PRICE)] * 5)
TOKENS = st.integers(0, MAX_UNITS) | st.integers(0, 100)
USAGES = st.builds(
    Costs,
    prompt_tokens=TOKENS,
    completion_tokens=TOKENS,
    tokens=TOKENS,
    cache_read_tokens=TOKENS,
    cache_write_tokens=TOKENS,
)


@given(USAGES, PRICES)
def test_money_is_the_exact_sum_rounded_up_once(costs: Costs, price: Price) -> None:
    read = min(costs.cache_read_tokens, costs.prompt_tokens)
    write = min(costs.cache_write_tokens, costs.prompt_tokens - read)
    alone = max(0, costs.tokens - costs.prompt_tokens - costs.completion_tokens)
    exact = (
        Fraction(price.prompt, 10**6) * (costs.prompt_tokens - read - write)
        + Fraction(price.cache_read, 10**6) * read
        + Fraction(price.cache_write, 10**6) * write
        + Fraction(price.completion, 10**6) * (costs.completion_tokens + alone)
        + price.request
    )
    assert money_of(costs, price) == ceil(exact) >= 0
    assert in_money(costs, price).money == min(MAX_UNITS, ceil(exact))


figure = st.integers(-5, 50) | st.sampled_from([2**40, 2**41, 2**70, -1, 1e300, float("nan"), "9", True, None, [], {}])
names = st.sampled_from(
    (
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "input_tokens",
        "output_tokens",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
        "cached_tokens",
        "cache_write_tokens",
    )
)
figures = st.dictionaries(names, figure)
usages = st.builds(
    lambda usage, one, other: usage | {"prompt_tokens_details": one, "input_tokens_details": other},
    figures,
    figures | figure,
    figures | figure,
)


@given(st.lists(usages, max_size=3), st.integers(0, MAX_UNITS), PRICES)
def test_no_usage_costs_less_than_nothing_or_more_than_the_store_can_count(
    usages: list[object], prompt: int, price: Price
) -> None:
    meter = Meter()
    for usage in usages:
        meter.document({"usage": usage})
    costs = meter.costs(prompt)
    assert costs.cache_read_tokens + costs.cache_write_tokens <= costs.prompt_tokens
    assert 0 <= in_money(costs, price).money <= MAX_UNITS


CHEAP = Price(prompt=150_000, completion=600_000, cache_read=75_000, cache_write=187_500, request=1_000)


@pytest.mark.parametrize(
    ("usage", "money"),
    [
        ({"prompt_tokens": 1_000_000, "completion_tokens": 0}, 150_000 + 1_000),
        ({"prompt_tokens": 0, "completion_tokens": 1_000_000}, 600_000 + 1_000),
        ({"prompt_tokens": 1, "completion_tokens": 1}, 1 + 1_000),
        ({"prompt_tokens": 7, "completion_tokens": 0}, 2 + 1_000),
        ({"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1510}, 150 + 306 + 1_000),
        (
            {"prompt_tokens": 1000, "completion_tokens": 0, "prompt_tokens_details": {"cached_tokens": 800}},
            30 + 60 + 1_000,
        ),
        (
            {"input_tokens": 1000, "output_tokens": 0, "input_tokens_details": {"cached_tokens": 800}},
            30 + 60 + 1_000,
        ),
        (
            {
                "input_tokens": 200,
                "output_tokens": 0,
                "cache_read_input_tokens": 800,
                "cache_creation_input_tokens": 8_000,
            },
            30 + 60 + 1_500 + 1_000,
        ),
    ],
    ids=[
        "prompt",
        "completion",
        "rounded up once",
        "rounded up",
        "counted in the total alone",
        "chat",
        "responses",
        "messages",
    ],
)
def test_each_kind_of_token_has_its_price(usage: dict[str, object], money: int) -> None:
    meter = Meter()
    meter.document({"usage": usage})
    assert meter.lies == 0
    assert money_of(meter.costs(99), CHEAP) == money


@pytest.mark.parametrize("cached", [11, -1, 2**41, "9", True, 1.5])
def test_a_cache_that_gave_more_than_the_prompt_or_no_count_makes_nothing_cheaper(cached: object) -> None:
    meter = Meter()
    usage = {"prompt_tokens": 10, "completion_tokens": 0, "prompt_tokens_details": {"cached_tokens": cached}}
    meter.document({"usage": usage})
    assert meter.lies == 1
    assert meter.costs(99).cache_read_tokens == 0


def test_a_later_usage_says_anew_what_the_cache_gave() -> None:
    meter = Meter()
    meter.document({"usage": {"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 8}}})
    meter.document({"usage": {"prompt_tokens": 10, "completion_tokens": 4}})
    assert meter.costs(99).cache_read_tokens == 0


def test_an_estimate_is_priced_by_its_prompt_and_its_largest_completion() -> None:
    costs = in_money(estimate(b'{"prompt": "%s", "max_tokens": 1000}' % (b"x" * 3988)), CHEAP)
    assert (costs.prompt_tokens, costs.completion_tokens) == (1000, 1000)
    assert costs.as_mapping()["money"] == costs.money == 150 + 600 + 1_000


def test_only_limits_in_money_need_a_price() -> None:
    def limit(unit: Unit) -> Limit:
        return Limit("platform", "l", "sliding_window", 1, 60.0, cost=unit)

    assert counts_money([limit("requests"), limit("money")])
    assert not counts_money([limit("requests"), limit("tokens")])


@given(st.integers(1, 2**40))
def test_an_amount_is_read_as_it_is_written(micro: int) -> None:
    assert parse_amount(amount_text(micro)) == micro
    price = min(micro, MAX_PRICE)
    default = f"{{prompt: 0, completion: {amount_text(price)}}}"
    assert parse_policy(f"version: 1\nprices: {{currency: USD, default: {default}}}").prices.of("") == Price(
        0, price, 0, 0
    )


def test_what_a_cache_gives_costs_as_much_as_the_prompt_unless_it_has_a_price() -> None:
    prices = parse_policy("""
version: 1
prices:
  currency: USD
  default: {prompt: 2, completion: 3, cache_read: 0}
  models: {small: {prompt: 1.5, completion: 2, request: 0.01}}
tiers: {free: {}}
tenants: {acme: {}}
endpoints:
  chat:
    owner: acme
    match: {hosts: "*", path: /chat, methods: [POST]}
    model: {from: body.model, allowed: {free: "*"}}
""").prices
    assert prices.of("small") == Price(1_500_000, 2_000_000, 1_500_000, 1_500_000, 10_000)
    assert prices.of("other") == prices.of("") == Price(2_000_000, 3_000_000, 0, 2_000_000)
    assert parse_policy("version: 1").prices.of("small") is None
    assert parse_price("0") == 0
