"""Lines of a log as they stand, from a file, a directory of files, or a Redis stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from redis import Redis
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import RedisClusterException, RedisError

from tidegate.admission.open import CLUSTER
from tidegate.admission.slots import ClusterUrl
from tidegate.audit.chain import parse, split
from tidegate.audit.files import SUFFIX
from tidegate.audit.sink import FilePlace, StreamPlace, place_of
from tidegate.errors import AuditUnavailable

_PAGE = 1000
_NEEDED = {
    "decision": frozenset({"request_id", "verdict", "status", "reason"}),
    "reveal": frozenset({"request_id", "subject", "pseudonym", "entity", "why", "verdict", "status", "reason"}),
    "response": frozenset({"request_id", "outcome", "scanned_bytes", "skipped_bytes", "findings"}),
}


class Line(NamedTuple):
    """A line, and where it stands: a file and a number from 1, or a stream and the id of an entry.

    `ended` is false of what stands behind the last line break.
    """

    place: str
    number: str
    data: bytes
    ended: bool = True


def lines_of(source: str) -> Iterator[Line]:
    """The lines of each writer in order. Raises `AuditUnavailable` when they cannot be read, ValueError for no source.

    `source` is a path, or a URL as `--audit` takes it.
    """
    place = place_of(source) if "://" in source else FilePlace(Path(source))
    return _of_stream(place) if isinstance(place, StreamPlace) else _of_files(place.directory)


def records_of(source: str) -> Iterator[dict[str, Any] | None]:
    """The records of a log, without a look at the chain; None for each line that is none."""
    for line in lines_of(source):
        try:
            record = parse(split(line.data)[1])
        except ValueError:
            yield None
        else:
            yield record if _NEEDED.get(record["kind"], frozenset()) <= record.keys() else None


def _of_files(path: Path) -> Iterator[Line]:
    try:
        files = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
        if not files:
            raise AuditUnavailable(f"{path}: no {SUFFIX} file is there")
        for one in files:
            with one.open("rb") as stream:
                for number, data in enumerate(stream, 1):
                    yield Line(str(one), str(number), data.removesuffix(b"\n"), data.endswith(b"\n"))
    except OSError as failure:
        raise AuditUnavailable(f"{failure.filename or path}: {failure.strerror}") from None


def _client(url: str) -> Any:
    if not url.startswith(CLUSTER):
        return Redis.from_url(url)
    cluster = ClusterUrl(url)
    nodes = [ClusterNode(host, port) for host, port in cluster.places]  # type: ignore[no-untyped-call]
    return RedisCluster.from_url(cluster.node(cluster.seeds[0]), startup_nodes=nodes, require_full_coverage=False)


def _of_stream(place: StreamPlace) -> Iterator[Line]:
    try:
        with closing(_client(place.url)) as redis:
            start = "-"
            while page := redis.xrange(place.stream, start, "+", _PAGE):
                for number, fields in page:
                    yield Line(place.stream, number.decode(), fields.get(b"record", b""))
                start = f"({page[-1][0].decode()}"
            if start == "-":
                raise AuditUnavailable(f"no stream {place.stream} is there")
    except (RedisError, RedisClusterException, OSError) as failure:
        where = urlsplit(place.url)  # without the password in it
        node = where.netloc.rpartition("@")[2] or where.path
        raise AuditUnavailable(f"the audit stream {place.stream} at {node}: {type(failure).__name__}") from None
