"""`tidegate audit`: whether the log is as it was written, and what it says."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidegate.cli.faults import one_line
from tidegate.settings import SettingsError, read_pepper

if TYPE_CHECKING:
    from tidegate.audit.chain import Head
    from tidegate.audit.query import Joined

app = typer.Typer(help="The audit log: verify it, ask it, export it.", no_args_is_help=True)

_Source = Annotated[
    str,
    typer.Argument(
        envvar="TIDEGATE_AUDIT",
        help="A file, a directory, or a URL as of --audit: file://, redis://, rediss://, unix://",
    ),
]
_Credential = Annotated[str, typer.Option(help="Only what this credential did: the public id of a key or token.")]
_Subject = Annotated[str, typer.Option(help="Only what this subject did.")]
_Tenant = Annotated[str, typer.Option(help="Only what this tenant did.")]
_Endpoint = Annotated[str, typer.Option(help="Only what was asked of this endpoint.")]
_Entity = Annotated[str, typer.Option(help="Only responses in which this was found, such as EMAIL.")]
_Since = Annotated[str, typer.Option(help="Not before: 2026-01-31, 2026-01-31T08:00, or 2h for two hours ago. UTC.")]
_Until = Annotated[str, typer.Option(help="Not after, in the same notations.")]
_HEAD = ("TIME", "REQUEST", "SUBJECT", "CREDENTIAL", "ENDPOINT", "DECISION", "RESPONSE", "READ", "UNREAD", "FINDINGS")
_ASKED = ("TIME", "TENANT", "SUBJECT", "CREDENTIAL", "KIND", "PSEUDONYM", "ANSWER", "WHY")
_COLUMNS = (
    *("began", "ended", "request_id", "tenant", "subject", "tier", "client_id", "credential", "authentication"),
    *("method", "endpoint", "path", "model", "policy", "verdict", "status", "reason", "exceeded", "charged"),
    *("enforcement", "outcome", "failure", "scanned_bytes", "skipped_bytes", "sent_bytes", "findings", "costs"),
)


class Format(StrEnum):
    """What an export is written in."""

    JSONL = "jsonl"
    CSV = "csv"


@app.command()
def verify(
    source: _Source,
    key_pepper_file: Annotated[
        Path | None, typer.Option(envvar="TIDEGATE_KEY_PEPPER_FILE", help="The service's pepper: it keys the hashes.")
    ] = None,
    head: Annotated[
        list[str] | None,
        typer.Option("--head", help="WRITER:NUMBER:HASH, as the service logs it ('audit head'); may be repeated."),
    ] = None,
    key_pepper: Annotated[str, typer.Option(envvar="TIDEGATE_KEY_PEPPER", hidden=True)] = "",
) -> None:
    """Say whether each record is there and as it was written, or which is the first that is not (exit status 1)."""
    from tidegate.audit.chain import chain_key
    from tidegate.audit.reading import lines_of
    from tidegate.audit.verify import verify as check

    with one_line(ValueError):
        key = chain_key(read_pepper(key_pepper_file, key_pepper))
        report = check(lines_of(source), key=key, heads=dict(map(_head, head or [])))
    if report.broken is not None:
        typer.echo(f"broken: {report.broken}", err=True)
        raise typer.Exit(1)
    for writer, chain in report.chains.items():
        files = len(chain.places)
        typer.echo(
            f"{writer}: records {chain.first} to {chain.head.seq} in {files} {'place' if files == 1 else 'places'}"
        )
        typer.echo(f"  head {writer}:{chain.head.seq}:{chain.head.hash}")
        for note in chain.notes():
            typer.echo(f"  note: {note}")
    if not key:
        typer.echo("note: the hashes are not keyed, so whoever can write here can make such a log anew")


@app.command()
def query(
    source: _Source,
    credential: _Credential = "",
    subject: _Subject = "",
    tenant: _Tenant = "",
    endpoint: _Endpoint = "",
    entity: _Entity = "",
    since: _Since = "",
    until: _Until = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show exchanges: who asked for what, and what came of it.

    That is what was decided, and what was read of the response and found in it.
    """
    found = _exchanges(source, credential, subject, tenant, endpoint, entity, since, until)
    if as_json:
        typer.echo(json.dumps([one._asdict() for one in found], indent=2))
    elif rows := list(map(_row, found)):
        _table(_HEAD, rows)
    else:
        typer.echo("the log has no such exchange")


@app.command()
def export(
    source: _Source,
    form: Annotated[Format, typer.Option("--format", help="JSON lines, or comma-separated values.")] = Format.JSONL,
    credential: _Credential = "",
    subject: _Subject = "",
    tenant: _Tenant = "",
    endpoint: _Endpoint = "",
    entity: _Entity = "",
    since: _Since = "",
    until: _Until = "",
) -> None:
    """Write exchanges to standard output, one a line."""
    found = _exchanges(source, credential, subject, tenant, endpoint, entity, since, until)
    if form is Format.JSONL:
        sys.stdout.writelines(f"{json.dumps(one._asdict())}\n" for one in found)
        return
    writer = csv.writer(sys.stdout)
    writer.writerow(_COLUMNS)
    writer.writerows([_cell(one, name) for name in _COLUMNS] for one in found)


@app.command()
def reveals(
    source: _Source,
    subject: _Subject = "",
    tenant: _Tenant = "",
    since: _Since = "",
    until: _Until = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show who asked what stands behind a pseudonym, and why."""
    from tidegate.audit.query import time_of

    with one_line(ValueError):
        first, last = _time(since, "--since"), _time(until, "--until")
        found = [
            record
            for record in _Records(source)
            if record["kind"] == "reveal"
            and (not subject or record["subject"] == subject)
            and (not tenant or record["tenant"] == tenant)
            and not ((first and time_of(record) < first) or (last and time_of(record) > last))
        ]
    found.sort(key=time_of)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    elif found:
        _table(_ASKED, [_asked(record) for record in found])
    else:
        typer.echo("the log has no such call")


def _asked(record: dict[str, Any]) -> tuple[str, ...]:
    from tidegate.audit.query import time_of

    verdict = "revealed" if record["verdict"] == "allow" else f"{record['status']} {record['reason']}"
    when = f"{time_of(record):%Y-%m-%d %H:%M:%S}"
    who = (record["tenant"] or "-", record["subject"] or "-", record["credential"] or "-")
    return when, *who, record["entity"] or "-", record["pseudonym"], verdict, record["why"]


def _table(head: tuple[str, ...], found: list[tuple[str, ...]]) -> None:
    rows = [head, *(tuple(map(_printable, row)) for row in found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    typer.echo("\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows))


def _printable(text: str) -> str:
    """Text that moves no cursor: a subject is written as its issuer gives it, and why as somebody said it."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _exchanges(source: str, *given: str) -> Iterator[Joined]:
    from tidegate.audit.query import Filter, exchanges

    credential, subject, tenant, endpoint, entity, since, until = given
    with one_line(ValueError):
        between = _time(since, "--since"), _time(until, "--until")
        wanted = Filter(credential, subject, tenant, endpoint, entity, *between)
        return exchanges(_Records(source), wanted)


class _Records:
    """The records of a log, as often as they are read; what is wrong with it is told once."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._told = False

    def __iter__(self) -> Iterator[dict[str, Any]]:
        from tidegate.audit.reading import records_of

        lost = no_record = 0
        for record in records_of(self._source):
            if record is None:
                no_record += 1
            else:
                lost += record.get("lost", 0)
                yield record
        if not self._told:
            self._told = True
            if no_record:
                typer.echo(f"note: {no_record} lines are no record; see tidegate audit verify", err=True)
            if lost:
                typer.echo(f"note: {lost} records could not be kept, and are not among these", err=True)


def _head(text: str) -> tuple[str, Head]:
    from tidegate.audit.chain import Head

    rest, _, digest = text.rpartition(":")
    writer, _, seq = rest.rpartition(":")
    if not (writer and seq.isascii() and seq.isdigit() and len(digest) == 64):
        raise SettingsError(f"--head: '{text}' is not WRITER:NUMBER:HASH")
    return writer, Head(int(seq), digest)


def _time(text: str, flag: str) -> datetime | None:
    from tidegate.policy.durations import parse_duration

    if not text:
        return None
    with suppress(ValueError):
        ago = parse_duration(text)
        try:
            return datetime.now(UTC) - timedelta(seconds=ago)
        except OverflowError:
            raise SettingsError(f"{flag}: there is no time '{text}' ago") from None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(f"{flag}: '{text}' is neither a time such as 2026-01-31T08:00 nor a duration") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _row(one: Joined) -> tuple[str, ...]:
    from tidegate.audit.query import findings_of

    decision, response = one.decision, one.response
    verdict = "-"
    if decision:
        verdict = "allow" if decision["verdict"] == "allow" else f"{decision['status']} {decision['reason']}"
    return (
        f"{one.began:%Y-%m-%d %H:%M:%S}",
        one.get("request_id"),
        one.get("subject") or "-",
        one.get("credential") or "-",
        one.get("endpoint") or "-",
        verdict,
        response["outcome"] if response else "-",
        str(response["scanned_bytes"]) if response else "-",
        str(response["skipped_bytes"]) if response else "-",
        ", ".join(f"{found['entity']} {found['count']} {found['action']}" for found in findings_of(one)) or "-",
    )


def _cell(one: Joined, name: str) -> str:
    value: Any = getattr(one, name) if name in ("began", "ended") else one.get(name)
    if isinstance(value, datetime):
        return value.isoformat()
    text = value if isinstance(value, str) else json.dumps(value)
    return (
        f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text
    )  # no formula of a spreadsheet
