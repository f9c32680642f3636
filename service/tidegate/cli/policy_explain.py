"""`tidegate policy explain`: why one request would be decided as it would."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.faults import one_line
from tidegate.settings import read_pepper

Policy = Annotated[Path, typer.Argument(metavar="POLICY", help="Policy document (YAML).", show_default=False)]
PepperFile = Annotated[
    Path | None,
    typer.Option(envvar="TIDEGATE_KEY_PEPPER_FILE", help="The service's pepper, where a request shows an API key."),
]
Pepper = Annotated[str, typer.Option(envvar="TIDEGATE_KEY_PEPPER", hidden=True)]


def explain(
    policy: Policy,
    request: Annotated[
        Path, typer.Option(help="The request and who makes it, YAML or JSON: see `tidegate policy schema --request`.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    pepper_file: PepperFile = None,
    key_pepper: Pepper = "",
) -> None:
    """Print the path of a decision, rule by rule.

    The pipeline of the service decides, with limits of which nothing was used. The exit status is 0 whatever it
    decides, 2 for files that cannot be used.
    """
    from tidegate.policy import load_policy
    from tidegate.rehearsal.explanation import explain as explained
    from tidegate.rehearsal.files import read_request
    from tidegate.rehearsal.identifier import identifying
    from tidegate.rehearsal.report import record, text

    async def run() -> str:
        loaded = load_policy(policy)
        question = read_request(request, trusted_hops=loaded.trusted_hops)
        async with identifying(loaded, read_pepper(pepper_file, key_pepper)) as identifier:
            found = await explained(loaded, question, identifier)
        return json.dumps(record(found), indent=2) if as_json else text(found)

    with one_line():
        typer.echo(asyncio.run(run()))
