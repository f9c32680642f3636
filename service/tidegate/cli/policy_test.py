"""`tidegate policy test`: the decisions that a policy must make."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.faults import one_line
from tidegate.cli.policy_explain import Pepper, PepperFile, Policy
from tidegate.errors import PolicyError, Problem
from tidegate.settings import read_pepper


def test(
    policy: Policy,
    cases: Annotated[
        list[Path],
        typer.Argument(metavar="CASES", help="Case files: see `tidegate policy schema --cases`.", show_default=False),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML to this file, too.")] = None,
    pepper_file: PepperFile = None,
    key_pepper: Pepper = "",
) -> None:
    """Decide every case of the files, and say which fail.

    The exit status is 1 when a case fails, 2 when a file cannot be used: then every fault is named, and no case is
    decided.
    """
    from tidegate.policy import load_policy
    from tidegate.rehearsal import results
    from tidegate.rehearsal.cases import Result, run
    from tidegate.rehearsal.files import GoldenCase, read_cases
    from tidegate.rehearsal.identifier import identifying

    async def decide() -> tuple[Result, ...]:
        loaded = load_policy(policy)
        found: list[GoldenCase] = []
        problems: list[Problem] = []
        for file in cases:
            try:
                found += read_cases(file, trusted_hops=loaded.trusted_hops)
            except PolicyError as error:
                problems += error.problems
        if problems:
            raise PolicyError(tuple(problems))
        async with identifying(loaded, read_pepper(pepper_file, key_pepper)) as identifier:
            return await run(loaded, found, identifier)

    with one_line():
        decided = asyncio.run(decide())
        if junit is not None:
            _write(junit, results.junit(decided))
    typer.echo(json.dumps(results.record(decided), indent=2) if as_json else results.text(decided))
    if any(result.differences for result in decided):
        raise typer.Exit(1)


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PolicyError((Problem(str(file), 0, "", f"cannot be written: {error.strerror}"),)) from None
