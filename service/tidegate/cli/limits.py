"""`tidegate limits`: what a tenant has used, and setting it back."""

from __future__ import annotations

import asyncio
import json
import math
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from tidegate.cli.faults import check_shared, one_line
from tidegate.settings import SettingsError

if TYPE_CHECKING:
    from tidegate.admission.live import Live, LiveLimits
    from tidegate.model import Limit
    from tidegate.policy import Policy

app = typer.Typer(help="What a tenant has used of its limits in Redis.", no_args_is_help=True)

_Answer = TypeVar("_Answer")
_Policy = Annotated[Path, typer.Option(envvar="TIDEGATE_POLICY", help="Policy document (YAML), the service's.")]
_Store = Annotated[
    str,
    typer.Option(
        envvar="TIDEGATE_STORE", help="Where the service counts: redis://, rediss://, unix://, redis+cluster://"
    ),
]
_Tenant = Annotated[str, typer.Option(help="Whose limits. What tenants share is nobody's, and not among them.")]
_Subject = Annotated[str, typer.Option(help="Only what is counted by subject, and only for this one.")]
_Limit = Annotated[list[str] | None, typer.Option("--limit", help="Only limits of this name; may be repeated.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_HEAD = ("SCOPE", "LIMIT", "KEY", "USED", "OF", "UNIT", "LEFT", "RESETS IN", "HELD")


@app.command()
def show(
    policy: _Policy,
    tenant: _Tenant,
    store: _Store,
    subject: _Subject = "",
    limit: _Limit = None,
    as_json: _Json = False,
) -> None:
    """Show what counts now: used, left, and when all of it is back.

    USED contains what is HELD: reserved by exchanges that are not settled yet, units (exchanges).
    """
    with one_line():
        live = _with_limits(policy, store, lambda names, limits: _find(names, limits, tenant, subject, limit or []))
    if as_json:
        typer.echo(json.dumps([_record(one) for one in live], indent=2))
    elif live:
        typer.echo(_table(live))
    else:
        typer.echo(_nothing(tenant))


@app.command()
def reset(
    policy: _Policy,
    tenant: _Tenant,
    store: _Store,
    subject: _Subject = "",
    limit: _Limit = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: _Json = False,
) -> None:
    """Set limits back to unused, and say which.

    What open exchanges hold of them no longer counts either. A replica that refused just now may go on doing so for up
    to a second. A log line on stderr says who reset what.
    """

    async def forget(policy: Policy, limits: LiveLimits) -> list[Live]:
        live = await _find(policy, limits, tenant, subject, limit or [])
        if live and not yes:
            typer.echo(_table(live), err=True)
            typer.confirm(f"Set {_count(len(live), 'key')} of tenant '{tenant}' back to unused?", abort=True, err=True)
        if live:
            await limits.reset(live)
        return live

    with one_line():
        done = _with_limits(policy, store, forget)
    if done:
        _log(tenant, done)
    if as_json:
        typer.echo(json.dumps([_record(one) for one in done], indent=2))
    elif done:
        typer.echo(f"reset {_count(len(done), 'key')} of tenant '{tenant}', which stood at:\n{_table(done)}")
    else:
        typer.echo(_nothing(tenant))


async def _find(policy: Policy, limits: LiveLimits, tenant: str, subject: str, names: list[str]) -> list[Live]:
    from tidegate.admission.charges import render

    if tenant not in policy.tenants:
        raise SettingsError(f"--tenant: the policy has no tenant '{tenant}'")
    for name in names:
        if all(limit.name != name for limit in policy.limits()):
            raise SettingsError(f"--limit: the policy has no limit '{name}'")
    live = await limits.of_tenant(tenant)
    if subject:
        live = [one for one in live if one.of.get("subject") == render("subject", subject)]
    return [one for one in live if not names or one.limit.name in names]


def _with_limits(policy: Path, store: str, ask: Callable[[Policy, LiveLimits], Awaitable[_Answer]]) -> _Answer:
    from tidegate.admission.live import LiveLimits
    from tidegate.clock import SystemClock
    from tidegate.policy import load_policy

    check_shared(store, "what is counted in {} can only be seen by the service itself")
    loaded = load_policy(policy)

    async def main() -> _Answer:
        async with LiveLimits(store, loaded.limits(), clock=SystemClock()) as limits:
            return await ask(loaded, limits)

    return asyncio.run(main())


def _table(live: list[Live]) -> str:
    rows = [_HEAD, *[_row(one) for one in live]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _row(live: Live) -> tuple[str, ...]:
    limit = live.limit
    key = " ".join(f"{name}={value}" for name, value in live.of.items()) or "-"
    return (
        limit.scope,
        limit.name + (" (shadow)" if limit.shadow else ""),
        key,
        str(live.used),
        str(limit.capacity),
        _unit(limit),
        str(live.remaining),
        _duration(live.reset_after),
        f"{live.held} ({len(live.reservations)})" if live.reservations else "-",
    )


def _unit(limit: Limit) -> str:
    if limit.algorithm == "concurrency":
        return "places"
    return f"micro-{limit.currency.lower()}" if limit.cost == "money" else limit.cost


def _record(live: Live) -> dict[str, Any]:
    return {
        "scope": live.limit.scope,
        "limit": live.limit.name,
        "algorithm": live.limit.algorithm,
        "unit": _unit(live.limit),
        "shadow": live.limit.shadow,
        "key": dict(live.of),
        "used": live.used,
        "capacity": live.limit.capacity,
        "remaining": live.remaining,
        "reset_after_seconds": live.reset_after,
        "held": live.held,
        "reservations": len(live.reservations),
    }


def _log(tenant: str, live: list[Live]) -> None:
    from tidegate.telemetry import logger

    limits = [{"scope": one.limit.scope, "limit": one.limit.name, "key": one.of, "used": one.used} for one in live]
    logger("info", sys.stderr.buffer).info("limits reset", tenant=tenant, limits=limits, by_uid=os.getuid())


def _duration(seconds: float) -> str:
    whole = math.ceil(seconds)
    days, hours, minutes = whole // 86_400, whole // 3600 % 24, whole // 60 % 60
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (whole % 60, "s")]
    first = next((place for place, (number, _) in enumerate(parts) if number), 3)
    return "".join(f"{number}{unit}" for number, unit in parts[first : first + 2] if number) or "0s"


def _nothing(tenant: str) -> str:
    return f"nothing that tenant '{tenant}' used counts now"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
