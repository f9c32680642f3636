"""Records in a real Redis: once, all or none, in one chain, whatever becomes of a call."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.crc import key_slot
from tidegate.audit.chain import Chain, Head
from tidegate.audit.reading import _client, lines_of, records_of
from tidegate.audit.sink import StreamPlace, place_of
from tidegate.audit.stream import StreamSink, heads_of
from tidegate.audit.verify import verify
from tidegate.demo.redis_server import RedisServer
from tidegate.errors import AuditUnavailable

from tests.admission.redis_cluster import RedisCluster, running_cluster
from tests.audit.world import Told, a_decision, a_log, an_exchange


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    with running_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(params=["server", "cluster"])
def url(request: pytest.FixtureRequest) -> str:
    return f"{request.getfixturevalue(request.param).url}?stream={request.function.__name__}&maxlen=0"


def sink_at(url: str, writer: str = "w") -> StreamSink:
    place = place_of(url)
    assert isinstance(place, StreamPlace)
    return StreamSink(place, writer)


async def test_writers_share_a_stream_and_each_has_a_chain(url: str) -> None:
    for _ in range(2):
        logs = [a_log(sink_at(url, writer), writer=writer) for writer in ("a", "b")]
        for log in logs:
            await log.start()
        for number in range(5):
            for log in logs:
                log.decision(a_decision(f"r{number}"))
                log.response(*an_exchange(f"r{number}"))
                await log.flush()
        for log in logs:
            await log.close()
    report = verify(lines_of(url))
    assert report.broken is None
    assert {writer: chain.records for writer, chain in report.chains.items()} == {"a": 24, "b": 24}
    assert all(chain.closed for chain in report.chains.values())


@pytest.mark.parametrize("options", ["", "?stream=kept", "?stream=kept&db=1"])
async def test_a_redis_on_a_socket_is_a_place(options: str) -> None:
    with (
        tempfile.TemporaryDirectory() as short,  # the path of a socket has 107 bytes at most
        RedisServer(Path(short), options=["--unixsocket", f"{short}/redis.sock"]),
    ):
        url = f"unix://{short}/redis.sock{options}"
        log = a_log(sink_at(url))
        await log.start()
        log.decision(a_decision())
        await log.close()
        assert [line.place for line in lines_of(url)] == ["kept" if options else "tidegate-audit"] * 3
        assert verify(lines_of(url)).broken is None


async def test_a_call_whose_answer_was_lost_is_repeated_and_kept_once(url: str) -> None:
    sink = sink_at(url)
    chain = Chain("w", b"", Head())
    records = [chain.seal(1.0, "open", {"torn": 0}), chain.seal(2.0, "gap", {"lost": 1})]
    await sink.append(records)
    await sink.append(records)
    await sink.close()
    assert len(list(lines_of(url))) == 2


async def test_a_process_that_another_replaced_cannot_write_any_more(url: str) -> None:
    old, new = sink_at(url), sink_at(url)
    first = Chain("w", b"", (await old.open())[0])
    await old.append([first.seal(1.0, "open", {"torn": 0})])
    second = Chain("w", b"", (await new.open())[0])
    await new.append([second.seal(2.0, "open", {"torn": 0})])
    with pytest.raises(AuditUnavailable, match="another process"):
        await old.append([first.seal(3.0, "gap", {"lost": 1})])
    await old.close()
    await new.close()
    assert verify(lines_of(url)).broken is None


async def test_an_entry_that_was_taken_out_is_found_and_a_cut_end_by_the_head_beside_the_stream(url: str) -> None:
    log = a_log(sink_at(url))
    await log.start()
    for number in range(5):
        log.decision(a_decision(f"r{number}"))
    await log.close()
    lines = list(lines_of(url))
    stream = lines[0].place
    with _client(url.partition("?")[0]) as redis:
        seq, _, digest = redis.hget(heads_of(stream), "w").decode().partition(":")
        redis.xdel(stream, lines[-1].number)
        assert verify(lines_of(url)).broken is None
        cut = verify(lines_of(url), heads={"w": Head(int(seq), digest)}).broken
        assert cut is not None
        assert "its end was cut off" in cut.what
        redis.xdel(stream, lines[3].number)
    gone = verify(lines_of(url)).broken
    assert gone is not None
    assert (gone.number, gone.seq) == (lines[4].number, 5)
    assert "1 are missing" in gone.what


async def test_a_stream_that_drops_its_beginning_is_sound_and_says_so(server: RedisServer) -> None:
    url = f"{server.url}?stream=short&maxlen=200"
    log = a_log(sink_at(url))
    await log.start()
    for number in range(1000):
        log.decision(a_decision(f"r{number}"))
    await log.close()
    report = verify(lines_of(url))
    assert report.broken is None
    assert 200 <= report.chains["w"].records < 500
    assert "what was before it is not here" in report.chains["w"].notes()[0]


async def test_a_writer_follows_its_stream_to_another_master(cluster: RedisCluster) -> None:
    stream = cluster.tags_of(0, 1)[0]
    log = a_log(sink_at(f"{cluster.url}?stream={stream}"))
    await log.start()
    log.decision(a_decision())
    assert await log.flush()
    cluster.move(key_slot(stream.encode()), 0, 1)
    log.decision(a_decision("r2"))
    assert await log.flush()
    await log.close()
    report = verify(lines_of(f"{cluster.url}?stream={stream}"))
    assert (report.broken, report.chains["w"].records) == (None, 4)


async def test_records_wait_while_redis_is_out(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    told = Told()
    log = a_log(sink_at(server.url), told=told)
    await log.start()
    log.decision(a_decision())
    assert not log.available
    server.start()
    while not await log.flush():
        pass
    assert log.available
    log.decision(a_decision("r2"))
    await log.close()
    report = verify(lines_of(server.url))
    assert report.chains["w"].records == 4
    assert told.states[0][1].startswith("the audit stream: ")
    server.stop()


async def test_a_writer_goes_on_where_a_redis_that_lost_its_end_stands(tmp_path: Path) -> None:
    """As after a failover to a replica that lagged, or a restart from a snapshot."""
    server, told = RedisServer(tmp_path), Told()
    server.start()
    log = a_log(sink_at(server.url), told=told)
    await log.start()
    log.decision(a_decision("r1"))
    assert await log.flush()
    with _client(server.url) as redis:
        redis.save()
    for number in range(2, 5):
        log.decision(a_decision(f"r{number}"))
        assert await log.flush()
    server.stop(kill=True)
    server.start()
    log.decision(a_decision("r5"))
    tries = [await log.flush() for _ in range(3)]  # the first is of a connection that is gone
    assert tries[-1]
    assert log.available
    assert told.lost == 3
    await log.close()
    records = [record for record in records_of(server.url) if record]
    assert [record.get("request_id", record["kind"]) for record in records] == ["open", "r1", "gap", "r5", "close"]
    report = verify(lines_of(server.url))
    assert report.broken is None
    assert (report.chains["w"].lost, report.chains["w"].closed) == (3, True)
    server.stop()


async def test_a_redis_that_another_process_went_on_with_is_left_to_it(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    old, new = (a_log(sink_at(server.url)) for _ in range(2))
    await old.start()
    old.decision(a_decision("r1"))
    assert await old.flush()
    with _client(server.url) as redis:
        redis.save()
    old.decision(a_decision("r2"))
    assert await old.flush()
    server.stop(kill=True)
    server.start()
    await new.start()
    old.decision(a_decision("r3"))
    assert [await old.flush() for _ in range(3)] == [False] * 3
    assert not old.available
    for log in (old, new):
        await log.close()
    assert verify(lines_of(server.url)).broken is None
    server.stop()
