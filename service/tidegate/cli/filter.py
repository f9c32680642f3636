"""`tidegate filter`: what a policy would make of a text, on the command line."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from tidegate.cli.faults import one_line
from tidegate.settings import SettingsError, read_pepper

if TYPE_CHECKING:
    from tidegate.filtering.allow_list import Allowed
    from tidegate.filtering.ruleset import FilterPlan, Ruleset
    from tidegate.filtering.selection import Selection
    from tidegate.filtering.spotting import Spotter
    from tidegate.filtering.structure.demand import Structure
    from tidegate.policy.compiled import Policy

_STDIN = "-"


def filter_(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE", help="What to read; - or nothing: standard input, as it comes."),
    ] = None,
    policy: Annotated[Path | None, typer.Option(envvar="TIDEGATE_POLICY", help="Policy document (YAML).")] = None,
    ruleset: Annotated[list[str] | None, typer.Option(help="A ruleset of the policy; may be repeated.")] = None,
    endpoint: Annotated[
        str, typer.Option(help="Or all that a response of this endpoint passes, the floor among it.")
    ] = "",
    tier: Annotated[str, typer.Option(help="To a caller of this tier; with --endpoint.")] = "",
    detect: Annotated[
        list[str] | None,
        typer.Option(help="Kinds of value or groups of them, separated by commas: EMAIL,SECRETS; needs no policy."),
    ] = None,
    region: Annotated[
        list[str] | None,
        typer.Option(help="A region whose telephone numbers need no country code, such as GB; with --detect PHONE."),
    ] = None,
    request: Annotated[
        Path | None,
        typer.Option(help="The body of the request that the text answers: what it refers to, the text may refer to."),
    ] = None,
    act: Annotated[str, typer.Option(help="What to do with all of them, whatever the policy says.")] = "",
    shadow: Annotated[bool, typer.Option("--shadow", help="Change nothing: short for --act annotate.")] = False,
    format_: Annotated[
        str, typer.Option("--format", help="What the input is: text, json, sse and others; auto guesses.")
    ] = "auto",
    explain: Annotated[
        bool,
        typer.Option("--explain", help="List each finding on stderr: what, by which row, where, what became of it."),
    ] = False,
    show_values: Annotated[
        bool, typer.Option("--show-values", help="And the value itself; on a terminal only.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Findings and receipts as one JSON object a line.")] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Write no text but the list of findings; the exit status is 1 when there are any."
        ),
    ] = False,
    color: Annotated[
        str, typer.Option(help="Highlight what was put in: auto (on a terminal, without NO_COLOR), always, never.")
    ] = "auto",
    key_pepper_file: Annotated[
        Path | None,
        typer.Option(
            envvar="TIDEGATE_KEY_PEPPER_FILE",
            help="What hashes are keyed with, as for serve; else a key of this run, as for pseudonyms.",
        ),
    ] = None,
    key_pepper: Annotated[str, typer.Option(envvar="TIDEGATE_KEY_PEPPER", hidden=True)] = "",
) -> None:
    """Try a policy on files or standard input.

    The text leaves on stdout, rewritten as it comes, and its receipt on stderr. The exit status is 1 when a rule
    blocked the text, with --check when anything was found, and 2 for what cannot be read.
    """
    from tidegate.cli.filter_report import Report
    from tidegate.cli.filter_run import KINDS, Run
    from tidegate.filtering.grounding import grounded, known_of
    from tidegate.hash_key import hash_key, keyed

    with one_line():
        if format_ != "auto" and format_ not in KINDS:
            raise SettingsError(f"--format: '{format_}' is not one of auto, {', '.join(KINDS)}")
        if color not in ("auto", "always", "never"):
            raise SettingsError(f"--color: '{color}' is not one of auto, always, never")
        if show_values and as_json:
            raise SettingsError("--show-values: values are shown to people, never with --json")
        if show_values and not (sys.stdout if check else sys.stderr).isatty():
            raise SettingsError("--show-values: values are shown on a terminal only")
        wanted = _wanted(detect or [], region or [])
        plan, structure = _plan(policy, ruleset or [], endpoint, tier, wanted, "annotate" if shadow else act)
        if request is not None:
            with _opened(str(request)) as body:
                plan = grounded(plan, known_of(body.read()))
        key = hash_key(read_pepper(key_pepper_file, key_pepper)) or secrets.token_bytes(32)
        run = Run(
            keyed(plan, key),
            format_,
            key=key,
            write=None if check else typer.get_binary_stream("stdout"),
            structure=structure,
            colored=color == "always" or (color == "auto" and sys.stdout.isatty() and "NO_COLOR" not in os.environ),
        )
        reports: list[Report] = []
        for name in files or [_STDIN]:
            with ExitStack() as stack:
                stream = typer.get_binary_stream("stdin") if name == _STDIN else stack.enter_context(_opened(name))
                report = run.over("(stdin)" if name == _STDIN else name, stream)
            reports.append(report)
            for line in report.lines(explain=explain or check, values=show_values, as_json=as_json):
                typer.echo(line, err=not check)
    if any(report.blocked or (check and report.found_any) for report in reports):
        raise typer.Exit(1)


def _opened(name: str) -> BinaryIO:
    try:
        return Path(name).open("rb")
    except OSError as error:
        raise SettingsError(f"{name}: cannot be read: {error.strerror}") from None


def _wanted(detect: list[str], regions: list[str]) -> tuple[frozenset[str], frozenset[str]]:
    """What is looked for without a policy, and the regions whose telephone numbers are."""
    from tidegate.filtering import phones

    wanted, chosen = _entities(detect), frozenset(region.upper() for region in regions)
    for region in sorted(chosen):
        _known("--region", region, phones.REGIONS)
    if chosen and phones.ENTITY not in wanted:
        raise SettingsError("--region is for --detect PHONE")
    return wanted, chosen


def _plan(
    file: Path | None,
    rulesets: list[str],
    endpoint: str,
    tier: str,
    detect: tuple[frozenset[str], frozenset[str]],
    act: str,
) -> tuple[FilterPlan, Structure | None]:
    from tidegate.filtering.ruleset import Action, Rule, Ruleset, merge
    from tidegate.filtering.staged import unfindable
    from tidegate.policy.safety_spotters import spotters as content_safety

    acts = {action.label: action for action in Action}
    wanted, regions = detect
    if act:
        _known("--act", act, acts)
    if not (rulesets or endpoint or wanted):
        raise SettingsError("what to look for is needed: give --ruleset or --endpoint with --policy, or --detect")
    if bool(endpoint) != bool(tier):
        raise SettingsError("--endpoint and --tier go together")
    chosen: list[Ruleset] = []
    selection: Selection | None = None
    spotters: tuple[Spotter, ...] = ()
    allowed: Allowed | None = None
    structure: Structure | None = None
    if rulesets or endpoint:
        policy = _policy(file)
        chosen, selection = _of(policy, rulesets, endpoint, tier), policy.selection_of(endpoint)
        spotters, allowed = policy.spotters_of(endpoint), policy.allowed_of(endpoint)
        structure = policy.structures.get(endpoint)
    if wanted:
        rule = Rule(wanted, acts.get(act, Action.REDACT), regions=regions)
        chosen.append(Ruleset("--detect", (rule,)))
        lacking = wanted.difference(*(spotter.entities for spotter in spotters))
        spotters = (*spotters, *_without_policy(lacking), *content_safety(None, lacking))
    plan = merge(chosen, selection, spotters, allowed)
    if unfound := unfindable(plan):
        raise SettingsError(f"--endpoint is needed: {', '.join(sorted(unfound))} is looked for in its texts alone")
    if act:
        plan = replace(plan, actions=dict.fromkeys(plan.actions, acts[act]))
    return plan, structure.in_shadow() if structure is not None and act == "annotate" else structure


def _without_policy(wanted: frozenset[str]) -> list[Spotter]:
    """What finds names, markup and references, where no policy has anything that does. Links may then lead nowhere."""
    from tidegate.filtering.grounding import GroundingSpotter
    from tidegate.filtering.markup import MarkupSpotter
    from tidegate.filtering.ner.model import NAMES
    from tidegate.filtering.ner.open import open_names
    from tidegate.filtering.urls import Hosts

    quick: tuple[Spotter, ...] = (MarkupSpotter(Hosts()), GroundingSpotter())
    found = [spotter for spotter in quick if spotter.entities & wanted]
    try:
        return [*found, open_names()] if wanted & NAMES else found
    except ValueError as error:
        raise SettingsError(f"--detect: {error}") from None


def _policy(file: Path | None) -> Policy:
    from tidegate.policy import load_policy

    if file is None:
        raise SettingsError("--ruleset and --endpoint need --policy")
    return load_policy(file)


def _of(policy: Policy, rulesets: list[str], endpoint: str, tier: str) -> list[Ruleset]:
    for name in rulesets:
        _known("--ruleset", name, policy.rulesets)
    if endpoint:
        _known("--endpoint", endpoint, [one.name for one in policy.endpoints])
        _known("--tier", tier, policy.tiers)
        rulesets = [*rulesets, *policy.passes[endpoint, tier]]
    return [policy.rulesets[name] for name in dict.fromkeys(rulesets)]


def _entities(listed: list[str]) -> frozenset[str]:
    from tidegate.filtering.detectors import expand
    from tidegate.policy.words import entities

    names = [name.strip().upper() for words in listed for name in words.split(",") if name.strip()]
    for name in names:
        _known("--detect", name, entities())
    return expand(names)


def _known(flag: str, name: str, names: Iterable[str]) -> None:
    known = sorted(names)
    if name not in known:
        hint = "".join(f"; did you mean '{close}'?" for close in get_close_matches(name, known, n=1))
        raise SettingsError(f"{flag}: there is no '{name}'{hint}")
