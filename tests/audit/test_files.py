"""Files that are full, torn, taken, turned over: nothing is written twice, and what is missing is said to be."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tidegate.audit.chain import Chain, Head, chain_key
from tidegate.audit.files import FileSink
from tidegate.audit.reading import lines_of
from tidegate.audit.sink import FilePlace
from tidegate.audit.verify import Chained, verify
from tidegate.errors import AuditUnavailable

from tests.audit.world import Time, Told, a_decision, a_log, an_exchange, write

KEY = chain_key(b"a-pepper-of-thirty-two-bytes-long")


def chain_in(directory: Path) -> Chained:
    report = verify(lines_of(str(directory)), key=KEY)
    assert report.broken is None
    return report.chains["w"]


def sink_in(directory: Path, **options: Any) -> FileSink:
    return FileSink(FilePlace(directory, **options), "w", clock=Time())


async def test_files_turn_over_by_size_and_by_age_in_one_chain(tmp_path: Path) -> None:
    told = await write(tmp_path, [40], key=KEY, size=4096)
    sizes = [path.stat().st_size for path in sorted(tmp_path.glob("*.jsonl"))]
    assert len(sizes) > 5
    assert max(sizes) < 4096 + 2000
    assert len(told.heads) == len(sizes) + 1  # one for each file that was begun, one for the end
    assert chain_in(tmp_path).records == 80 + len(sizes) + 1

    clock = Time()
    log = a_log(FileSink(FilePlace(tmp_path, max_age=60.0), "w", clock=clock), key=KEY, clock=clock)
    await log.start()
    for _ in range(3):
        clock.at += 59
        log.decision(a_decision())
        await log.flush()
    await log.close()
    assert len(list(tmp_path.glob("*.jsonl"))) == len(sizes) + 2
    assert chain_in(tmp_path).closed


async def test_nobody_else_can_read_the_log(tmp_path: Path) -> None:
    await write(tmp_path / "new", [1])
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in (tmp_path / "new").iterdir())


@pytest.mark.parametrize("cut", [1, 2, 30, 200])
async def test_a_line_that_a_crash_tore_stays_and_the_next_process_says_so(tmp_path: Path, cut: int) -> None:
    await write(tmp_path, [2], key=KEY)
    (path,) = tmp_path.glob("*.jsonl")
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    lines = whole[:-cut].splitlines(keepends=True)
    torn = 0 if lines[-1].endswith(b"\n") else len(lines[-1])
    assert any("torn" in note for note in chain_in(tmp_path).notes()) == bool(torn)
    await write(tmp_path, [1], key=KEY)
    assert path.read_bytes() == whole[:-cut]
    assert chain_in(tmp_path).closed
    assert any(f"tore {torn} bytes" in note for note in chain_in(tmp_path).notes()) == bool(torn)
    assert f'"torn":{torn}'.encode() in sorted(tmp_path.glob("*.jsonl"))[1].read_bytes()


@pytest.mark.parametrize("way", ["shortened", "removed"])
async def test_a_file_that_is_cut_or_gone_while_the_process_runs_is_found(tmp_path: Path, way: str) -> None:
    log = a_log(sink_in(tmp_path, max_size=1500), key=KEY)
    await log.start()
    log.decision(a_decision())
    await log.flush()
    (path,) = tmp_path.glob("*.jsonl")
    if way == "removed":
        path.unlink()
    else:
        first = path.read_bytes().index(b"\n") + 1
        os.truncate(path, first)
    for number in range(5):
        log.decision(a_decision(f"r{number}"))
        await log.flush()
    await log.close()
    report = verify(lines_of(str(tmp_path)), key=KEY)
    if way == "shortened":
        assert report.broken is not None
        assert (report.broken.place, report.broken.number) == (str(path), "2")
    else:
        assert report.broken is None
        assert "what was before it is not here" in chain_in(tmp_path).notes()[0]


async def test_a_torn_line_that_was_edited_afterwards_is_found(tmp_path: Path) -> None:
    await write(tmp_path, [2], key=KEY)
    (path,) = tmp_path.glob("*.jsonl")
    path.write_bytes(path.read_bytes()[:-30])
    await write(tmp_path, [1], key=KEY)
    path.write_bytes(path.read_bytes()[:-1])
    broken = verify(lines_of(str(tmp_path)), key=KEY).broken
    assert broken is not None
    assert "torn by a crash" in broken.what


async def test_a_file_whose_first_line_is_torn_is_begun_again(tmp_path: Path) -> None:
    await write(tmp_path, [1], key=KEY)
    await write(tmp_path, [1], key=KEY)
    first, second = sorted(tmp_path.glob("*.jsonl"))
    second.write_bytes(second.read_bytes()[:100])
    await write(tmp_path, [1], key=KEY)
    assert sorted(tmp_path.glob("*.jsonl")) == [first, second]
    assert chain_in(tmp_path).closed


async def test_two_processes_never_write_one_chain(tmp_path: Path) -> None:
    one, other = sink_in(tmp_path), sink_in(tmp_path)
    await one.open()
    with pytest.raises(AuditUnavailable, match="another process"):
        await other.open()
    await one.close()
    assert await other.open() == (Head(), 0)
    await other.close()


async def test_what_a_failed_write_left_is_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = sink_in(tmp_path)
    await sink.open()
    chain = Chain("w", KEY, Head())
    await sink.append([chain.seal(1.0, "open", {"torn": 0})])
    records = [chain.seal(2.0, "gap", {"lost": n}) for n in range(3)]
    real = os.pwrite

    def full(descriptor: int, data: Any, at: int) -> int:
        if len(data) < 300:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data[:200], at)

    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(AuditUnavailable, match="No space left on device"):
        await sink.append(records)
    assert len(list(lines_of(str(tmp_path)))) == 1
    monkeypatch.setattr("os.pwrite", real)
    await sink.append(records)
    await sink.close()
    assert chain_in(tmp_path).records == 4


async def test_a_disk_that_does_not_sync_has_not_kept_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink, told = sink_in(tmp_path), Told()
    log = a_log(sink, key=KEY, told=told)
    await log.start()
    log.decision(a_decision())

    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr("os.fdatasync", fail)
        assert not await log.flush()
        assert not log.available
    assert await log.flush()
    assert log.available
    await log.close()
    assert told.states == [(True, ""), (False, "Input/output error"), (True, "")]
    assert chain_in(tmp_path).records == 3


def test_a_file_that_may_not_grow_loses_nothing_that_it_has_room_to_remember(tmp_path: Path) -> None:
    """A real limit of the system's, in a process of its own: writes fail in the middle of a record."""
    subprocess.run([sys.executable, "-m", "tests.audit.test_files", str(tmp_path)], check=True, timeout=60)
    chain = chain_in(tmp_path)
    assert (chain.records, chain.closed, chain.lost) == (42 + 1, True, 7)


async def _in_a_small_file(directory: Path) -> None:
    told = Told()
    log = a_log(sink_in(directory), key=KEY, told=told, max_waiting=25)
    await log.start()
    for number in range(10):
        log.decision(a_decision(f"r{number}"))
    assert await log.flush()
    size = next(directory.glob("*.jsonl")).stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 700, resource.RLIM_INFINITY))
    for number in range(5):
        log.response(*an_exchange(f"r{number}"))
    assert not await log.flush()
    for number in range(32):
        log.decision(a_decision(f"s{number}"))
    assert not log.available
    assert next(directory.glob("*.jsonl")).stat().st_size <= size + 700
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert await log.flush()
    await log.close()
    assert told.lost == 7, told
    assert [state for state, _ in told.states] == [True, False, True]


if __name__ == "__main__":
    asyncio.run(_in_a_small_file(Path(sys.argv[1])))
