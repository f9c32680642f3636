"""Rules of a document to those that texts are rewritten by."""

from __future__ import annotations

from collections.abc import Sequence

from tidegate.filtering.detectors import expand
from tidegate.filtering.pseudonyms import Pseudonym
from tidegate.filtering.ruleset import Action, Rule, Ruleset
from tidegate.filtering.safety.categories import CATEGORIES
from tidegate.policy import (
    requests,
    schema,
)
from tidegate.policy.safety_spotters import found_by


def ruleset_of(name: str, rules: Sequence[schema.Rule], document: schema.Document) -> Ruleset:
    """A named ruleset."""
    return Ruleset(name, tuple(_rule(rule, document) for rule in rules))


def _rule(rule: schema.Rule, document: schema.Document) -> Rule:
    pseudonym = Pseudonym(rule.scope or "response", alike=rule.form == "alike", reversible=rule.reversible)
    return Rule(_found(rule.detect, document), Action[rule.act.upper()], pseudonym, frozenset(rule.regions))


def prompt_rule_of(rule: requests.PromptRule, document: schema.Document) -> Rule:
    """A rule for requests: they have no pseudonyms."""
    found, regions = _found(rule.detect, document), frozenset(rule.regions)
    return Rule(found, Action[rule.act.upper()], regions=regions)


def _found(names: Sequence[str], document: schema.Document) -> frozenset[str]:
    """The kinds of value of a `detect`: of the group of content safety those that something judges."""
    return expand(names) - (frozenset(CATEGORIES) - found_by(document.content_safety))
