"""Moderation services over real HTTP, asked by their published schemas, and of nothing twice."""

from __future__ import annotations

from tidegate.filtering.safety.remembered import SECONDS, SIZE, Remembered

from tests.filtering.safety.moderators import HATE, RUDE, HandClock, azure, categories, openai
from tests.filtering.safety.services import Service


def test_openai_is_asked_about_many_passages_in_one_call_and_its_kinds_are_our_categories(service: Service) -> None:
    moderator = openai(service)
    assert categories(moderator, "Fine.", HATE, RUDE, "Stab him.", "A noose for me.") == [
        [],
        ["HATE"],
        ["HARASSMENT"],
        ["VIOLENCE"],
        ["SELF_HARM"],
    ]
    assert service.bad == []
    assert list(map(len, service.asked)) == [5]
    assert (moderator.usage.calls["answered"], moderator.usage.passages["service"]) == (1, 5)
    assert moderator.usage.characters == sum(map(len, service.asked[0]))


def test_openai_is_asked_about_32_passages_at_most_in_a_call_and_answers_keep_their_order(service: Service) -> None:
    passages = [f"You idiot {at}." if at % 7 == 0 else f"Fine {at}." for at in range(100)]
    assert categories(openai(service), *passages) == [["HARASSMENT"] if at % 7 == 0 else [] for at in range(100)]
    assert sorted(map(len, service.asked)) == [4, 32, 32, 32]


def test_a_threshold_of_the_policy_takes_the_place_of_the_services_flag(service: Service) -> None:
    assert categories(openai(service, thresholds={"HATE": 0.9}), HATE + RUDE) == [["HARASSMENT"]]
    assert categories(openai(service, thresholds={"VIOLENCE": 0.01}), "Fine.") == [["VIOLENCE"]]


def test_azure_is_asked_about_one_text_a_call_and_severities_from_4_count(service: Service) -> None:
    moderator = azure(service)
    assert categories(moderator, "Fine.", HATE, "Stab him.", "A bruise.", RUDE) == [[], ["HATE"], ["VIOLENCE"], [], []]
    assert service.bad == []
    assert sorted(map(len, service.asked)) == [1] * 5
    assert categories(azure(service, severities={"VIOLENCE": 2, "HATE": 6}), "A bruise.", HATE) == [
        ["VIOLENCE"],
        ["HATE"],
    ]


def test_what_was_judged_a_moment_ago_is_not_asked_about_again(service: Service, clock: HandClock) -> None:
    moderator = openai(service, now=clock.now)
    assert categories(moderator, "choices", RUDE, "choices") == [[], ["HARASSMENT"], []]
    assert categories(moderator, RUDE, "index", "choices") == [["HARASSMENT"], [], []]
    assert service.asked == [["choices", RUDE], ["index"]]
    assert moderator.usage.passages == {"service": 3, "memory": 2}
    clock.at += SECONDS
    categories(moderator, RUDE)
    assert service.asked[2:] == [[RUDE]]
    known = Remembered(clock.now)
    for at in range(SIZE + 1):
        known.put(str(at), ())
    assert (known.get("0"), known.get("1"), known.get("2")) == (None, (), ())


def test_lone_surrogates_are_sent_as_what_stands_for_them(service: Service) -> None:
    assert categories(openai(service), "bad \ud83d idiot") == [["HARASSMENT"]]
    assert service.asked == [["bad ? idiot"]]
