"""Server-sent events: filtered while they run, and ended as they should be."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.stack import Gate, ping_every, running_gate, until, until_at
from tests.e2e.test_framing import streamed_text
from tests.e2e.upstream import Hold, Reset, Upstream, chunked, delta, event, finish
from tests.load.watch import MEBI, look

SECRET = "bob@example.com"


def events(body: bytes) -> list[str]:
    """The data of each complete event."""
    return [frame.removeprefix("data: ") for frame in body.decode().split("\n\n")[:-1]]


def test_a_value_split_over_deltas_is_redacted(gate: Gate) -> None:
    parts = ["write to b", "ob@", "exam", "ple.c", "om", " today"]
    answer = gate.get(chunked([*map(delta, parts), *finish()]))
    assert answer.headers["content-type"] == "text/event-stream"
    assert streamed_text(answer.text) == "write to [EMAIL] today"
    assert answer.text.rstrip().endswith("data: [DONE]")


def test_a_value_split_over_network_chunks_is_redacted(gate: Gate) -> None:
    whole = b"".join([delta(f"write to {SECRET} today"), *finish()])
    answer = gate.get(chunked([whole[i : i + 7] for i in range(0, len(whole), 7)]))
    assert streamed_text(answer.text) == "write to [EMAIL] today"


def test_the_first_event_comes_while_the_model_still_talks(gate: Gate) -> None:
    hold = Hold()
    fields = gate.fields(chunked([delta("Good morning, all. "), hold, delta(f"mail {SECRET}"), *finish()]))
    with gate.client() as client, client.stream("GET", "/predict/x", headers=fields) as answer:
        parts = answer.iter_raw()
        first = next(parts)
        assert "Good" in streamed_text(first.decode())
        hold.open()
        rest = b"".join(parts)
    assert streamed_text((first + rest).decode()) == "Good morning, all. mail [EMAIL]"


def test_a_tools_name_leaves_whole_in_the_event_that_opens_its_call(gate: Gate) -> None:
    def call(**function: str) -> bytes:
        return event({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": function}]}}]})

    named = [call(name="write_to_b", arguments=""), call(name="ob@exam"), call(name="ple.com")]
    told = [call(arguments='{"to": "b'), call(arguments='ob@example.com"}')]
    hold = Hold()
    fields = gate.fields(chunked([*named, told[0], hold, told[1], *finish()]))
    with gate.client() as client, client.stream("GET", "/predict/x", headers=fields) as answer:
        parts = answer.iter_raw()
        received = next(parts)  # while the model still thinks about the arguments
        hold.open()
        received += b"".join(parts)
    documents = [json.loads(each) for each in events(received) if each != "[DONE]"]
    deltas = [document["choices"][0]["delta"].get("tool_calls", [{}])[0].get("function", {}) for document in documents]
    assert [each["name"] for each in deltas if "name" in each] == ["[EMAIL]", "", ""]
    assert "".join(each.get("arguments", "") for each in deltas) == '{"to": "[EMAIL]"}'


def test_what_is_held_back_comes_before_the_finish(gate: Gate) -> None:
    answer = gate.get(chunked([delta("call bob@example.co"), *finish()]))
    *_, text, stop, done = events(answer.content)
    assert json.loads(text)["choices"][0]["delta"]["content"].endswith("[EMAIL]")
    assert json.loads(stop)["choices"][0]["finish_reason"] == "stop"
    assert done == "[DONE]"


def test_an_unterminated_last_event_is_never_released_unread(gate: Gate) -> None:
    answer = gate.get(chunked([delta("hello "), delta(f"mail {SECRET}").rstrip(b"\n")]))
    assert SECRET not in answer.text
    assert "bob" not in answer.text


@pytest.mark.parametrize(
    "bad",
    [b"data: {not json\n\n", b'data: {"a": "bob@example.com"\n\n', b"data: \xff\xfe bob@example.com\n\n"],
    ids=["not json", "cut json", "not utf-8"],
)
def test_a_malformed_event_ends_the_stream_in_band(gate: Gate, bad: bytes) -> None:
    with gate.client() as client:
        fields = gate.fields(chunked([delta("Good morning, all. "), bad, delta(f"mail {SECRET}"), *finish()]))
        answer = client.post("/v1/chat/completions", json={"model": "small"}, headers=fields)
        after = client.get("/predict/x", headers=gate.fields(chunked([delta("second"), *finish()])))
    assert answer.status_code == 200
    assert "bob" not in answer.text
    errors = [json.loads(data) for data in events(answer.content) if '"error"' in data]
    assert errors[0]["error"]["code"] == "response_withheld"
    assert streamed_text(after.text) == "second"


def test_a_block_in_mid_stream_ends_it_in_band(gate: Gate) -> None:
    hold = Hold()
    fields = gate.fields(chunked([delta("Good morning, all. "), delta("SSN 536-22-8145 ok. "), hold, *finish()]))
    with gate.client() as client, client.stream("GET", "/predict/x", headers=fields) as answer:
        body = answer.read()  # ends although the model does not
    hold.open()
    assert b"8145" not in body
    assert json.loads(events(body)[-1] if "[DONE]" not in events(body)[-1] else events(body)[-2])["error"]


def test_a_model_that_breaks_off_is_an_error_for_the_client(gate: Gate) -> None:
    hold = Hold()
    fields = gate.fields(chunked([delta("Good morning, all. "), hold, delta("mail bob@exa"), Reset()]))
    received = b""
    with gate.client() as client, client.stream("GET", "/predict/x", headers=fields) as answer:
        until(hold.reached)
        hold.open()
        with pytest.raises(httpx.RemoteProtocolError):
            for part in answer.iter_raw():
                received += part
    assert b"bob" not in received


def test_a_client_that_hangs_up_leaves_no_stream_behind(gate: Gate) -> None:
    hold = Hold()
    name = gate.script(chunked([delta("Good morning, all. "), hold]))
    before = gate.metric("tidegate_responses_total", outcome="truncated")
    with gate.client() as client, client.stream("GET", "/predict/x", headers=gate.fields(name)) as answer:
        parts = answer.iter_raw()  # kept: dropping it would hang up
        next(parts)
        assert gate.metric("tidegate_streams") == 1
    until(lambda: gate.metric("tidegate_streams") == 0)
    until(lambda: gate.upstream.lost(name))
    until_at(lambda: int(gate.metric("tidegate_responses_total", outcome="truncated") - before), 1)


def test_comments_and_named_events_pass(gate: Gate) -> None:
    parts = [b": keep-alive\n\n", b"event: ping\ndata: {}\n\n", delta(f"mail {SECRET}. "), *finish()]
    answer = gate.get(chunked(parts))
    assert "event: ping" in answer.text
    assert streamed_text(answer.text.replace("data: {}\n", "")) == "mail [EMAIL]. "


@pytest.mark.parametrize("newline", [b"\r\n", b"\r"])
def test_other_line_ends_hide_nothing(gate: Gate, newline: bytes) -> None:
    whole = b"".join([delta(f"mail {SECRET}"), *finish()]).replace(b"\n", newline)
    answer = gate.get(chunked([whole]))
    assert SECRET not in answer.text
    assert "[EMAIL]" in answer.text


def test_a_json_body_under_an_event_stream_type_hides_nothing(gate: Gate) -> None:
    answer = gate.get(chunked([b'{"a": "bob@example.com"}\n\n']))
    assert SECRET not in answer.text


@pytest.fixture(scope="module")
def pinging_gate(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Gate]:
    """An Envoy that pings the policy service ten times as often as any sane one."""

    with running_gate(tmp_path_factory.mktemp("pinging"), upstream, tweak=ping_every("0.1s", "5s")) as running:
        yield running


def test_keepalive_pings_do_not_end_a_silent_stream(pinging_gate: Gate) -> None:
    """Some thirty pings without data: a gRPC server's default is to hang up after two."""
    hold = Hold()
    fields = pinging_gate.fields(chunked([delta("Good morning, all. "), hold, delta("Good night. "), *finish()]))
    with pinging_gate.client() as client, client.stream("GET", "/predict/x", headers=fields) as answer:
        attempts = "cluster.tidegate.health_check.attempt"
        before = pinging_gate.stat(attempts)
        until(lambda: pinging_gate.stat(attempts) >= before + 6, what="three seconds of Envoy's clock")
        hold.open()
        assert streamed_text(answer.read().decode()) == "Good morning, all. Good night. "
    assert pinging_gate.stat("cluster.tidegate.upstream_cx_destroy_with_active_rq") == 0


async def test_more_streams_at_once_than_the_default_circuit_breaker_allows(gate: Gate) -> None:
    """1,100 live responses; Envoy's default would refuse the 1,025th."""
    count, opened, all_open = 1100, itertools.count(1), asyncio.Event()
    opening = asyncio.Semaphore(32)  # a burst would measure the machine, not the limit
    hold = Hold()
    name = gate.script(chunked([delta("Good morning, all. "), hold, delta(f"mail {SECRET}"), *finish()]))
    fields = [("host", "x"), ("connection", "close"), *gate.fields(name)]
    head = "GET /predict/x HTTP/1.1\r\n" + "".join(f"{field}: {value}\r\n" for field, value in fields) + "\r\n"

    async def one() -> str:
        async with opening:
            reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
            writer.write(head.encode())
            assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
            body = await _chunk(reader)
        if next(opened) == count:
            hold.open()
            all_open.set()
        await all_open.wait()
        while part := await _chunk(reader):
            body += part
        writer.close()
        await writer.wait_closed()
        return streamed_text(body.decode())

    async with asyncio.timeout(90):
        texts = await asyncio.gather(*(one() for _ in range(count)))
    assert set(texts) == {"Good morning, all. mail [EMAIL]"}


async def _chunk(reader: asyncio.StreamReader) -> bytes:
    """One HTTP/1.1 chunk; b"" is the last."""
    size = int(await reader.readuntil(b"\r\n"), 16)
    return (await reader.readexactly(size + 2))[:-2]


def test_two_choices_and_tool_calls_keep_their_values_apart(gate: Gate) -> None:
    def two(left: str, right: str) -> bytes:
        choices = [
            {"index": 0, "delta": {"content": left}, "finish_reason": None},
            {"index": 1, "delta": {"content": right}, "finish_reason": None},
        ]
        return event({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices})

    answer = gate.get(chunked([two("a bob@exa", "c ann@exa"), two("mple.com b", "mple.org d"), *finish()]))
    texts = {0: "", 1: ""}
    for data in events(answer.content):
        if data != "[DONE]":
            for choice in json.loads(data)["choices"]:
                texts[choice["index"]] += choice["delta"].get("content") or ""
    assert texts == {0: "a [EMAIL] b", 1: "c [EMAIL] d"}


def test_a_worker_that_hangs_holds_back_the_model_and_fills_no_envoy(tmp_path: Path, upstream: Upstream) -> None:
    """By Envoy's default it would keep 16 MiB of the stream, and its bookkeeping besides, before it stops reading."""
    hold = Hold()
    piece = b"".join(delta("word") for _ in range(100))
    answer = chunked([delta("hello "), hold, *[piece] * (24_000_000 // len(piece)), *finish()])
    sizes: list[int] = []

    def settled(gate: Gate) -> bool:
        sizes.append(look(gate.envoy.pid, 0.0).resident)
        paused = gate.stat("cluster.model.upstream_flow_control_paused_reading_total")
        return paused > 0 and len(sizes) > 20 and sizes[-1] == sizes[-20]

    with (
        running_gate(tmp_path, upstream, tweak=ping_every("60s", "60s")) as gate,
        gate.client() as client,
        client.stream("GET", "/predict/x", headers=gate.fields(answer)) as response,
    ):
        parts = response.iter_raw()
        next(parts)
        before = look(gate.envoy.pid, 0.0).resident
        with gate.frozen():
            hold.open()
            until(lambda: settled(gate), timeout=60, what="Envoy to stop reading the model")
    assert max(sizes) - before < 12 * MEBI
