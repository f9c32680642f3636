"""`tidegate policy`: check policy files, explain and test what they decide, and print the schemas of the files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidegate.cli import policy_explain, policy_test
from tidegate.errors import PolicyError

if TYPE_CHECKING:
    from tidegate.policy import Policy

app = typer.Typer(help="Check, explain and test policy files; print schemas.", no_args_is_help=True)
app.command("explain")(policy_explain.explain)
app.command("test")(policy_test.test)


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Policy files to check.", show_default=False)],
) -> None:
    """Check policy files, and print every problem.

    A good file gets a line that sums it up. Key sets (jwks_file) are read too; the API key file is not, which may be
    elsewhere than where policies are checked. The exit status is 1 when a file has problems.
    """
    from tidegate.policy import load_policy

    good = True
    for file in files:
        try:
            typer.echo(f"{file}: ok ({_summary(load_policy(file))})")
        except PolicyError as error:
            good = False
            typer.echo(str(error), err=True)
    if not good:
        raise typer.Exit(1)


@app.command()
def schema(
    request: Annotated[bool, typer.Option("--request", help="That of the file for `policy explain`.")] = False,
    cases: Annotated[bool, typer.Option("--cases", help="That of the files for `policy test`.")] = False,
) -> None:
    """Print the JSON Schema (draft 2020-12) of the policy document.

    Or of the files that `policy explain` and `policy test` read.
    """
    from tidegate.policy.json_schema import json_schema

    if not (request or cases):
        typer.echo(json.dumps(json_schema(), indent=2))
        return
    from tidegate.rehearsal.schema import CASES_ID, REQUEST_ID, CaseFile, RequestFile

    shape, name = (RequestFile, REQUEST_ID) if request else (CaseFile, CASES_ID)
    typer.echo(json.dumps(json_schema(shape, name), indent=2))


def _summary(policy: Policy) -> str:
    counts = (
        _count(len(policy.endpoints), "endpoint"),
        _count(len(policy.tenants), "tenant"),
        _count(len(policy.tiers), "tier"),
        _count(len(policy.rulesets), "ruleset"),
    )
    anonymous = [endpoint.name for endpoint in policy.endpoints if endpoint.anonymous]
    said = f", no credential needed at {', '.join(anonymous)}" if anonymous else ""
    return f"version {policy.version}, {', '.join(counts)}{said}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
