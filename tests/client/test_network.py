"""The network client against services that are gone, slow or broken: none of it is a permission."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from tidegate_client import AsyncTidegate, Denied, Tidegate, TidegateInvalid, TidegateUnavailable
from tidegate_client.background import Background

from tests.client.scripted import Client, Scripted
from tests.client.world import FREE, HOST, World, free_port, held, make_servicer, serving


def test_an_unreachable_service_is_no_permission(client: Client) -> None:
    gate = client(f"127.0.0.1:{free_port()}", timeout=0.3)
    started = time.monotonic()
    for call in (
        lambda: gate.decide("GET", "/", host=HOST),
        lambda: gate.consume("chat", FREE),
        lambda: gate.settle("r", 1),
        lambda: gate.extend("r"),
        lambda: gate.filter_text("x", rulesets=["pii"]),
        lambda: list(gate.filter_stream(["x"], rulesets=["pii"])),
    ):
        with pytest.raises(TidegateUnavailable) as caught:
            call()
        assert caught.value.code == "UNAVAILABLE"
    assert time.monotonic() - started < 2


def test_an_unreachable_service_can_be_a_denial(client: Client) -> None:
    gate = client(f"127.0.0.1:{free_port()}", timeout=0.2, on_unavailable="deny")

    verdict = gate.decide("GET", "/", host=HOST, request_id="r-1")

    assert isinstance(verdict, Denied)
    assert (verdict.status, verdict.reason, verdict.request_id) == (503, "policy_unavailable", "r-1")
    assert dict(verdict.headers)["content-type"] == "application/problem+json"
    with pytest.raises(TidegateUnavailable):
        gate.consume("chat", FREE)


def test_an_answer_without_a_verdict_is_no_permission(client: Client, loop: Background) -> None:
    with held(loop, serving(Scripted().handlers())) as target:
        with pytest.raises(TidegateUnavailable):
            client(target, timeout=5).decide("GET", "/", host=HOST)
        assert not client(target, timeout=5, on_unavailable="deny").decide("GET", "/", host=HOST).allowed


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.CANCELLED])
def test_any_other_status_is_no_permission(client: Client, loop: Background, code: grpc.StatusCode) -> None:
    service = Scripted(code)
    with held(loop, serving(service.handlers())) as target, pytest.raises(TidegateUnavailable) as caught:
        client(target, timeout=5).filter_text("x", rulesets=["pii"])
    assert caught.value.code == code.name
    assert len(service.calls) == 1


def test_a_silent_service_costs_one_deadline(client: Client, loop: Background) -> None:
    with held(loop, serving(Scripted(30.0, 30.0).handlers())) as target:
        gate = client(target, timeout=0.2)
        started = time.monotonic()
        with pytest.raises(TidegateUnavailable) as caught:
            gate.decide("GET", "/", host=HOST)
        assert caught.value.code == "DEADLINE_EXCEEDED"
        with pytest.raises(TidegateUnavailable) as caught:
            list(gate.filter_stream(["x"], rulesets=["pii"]))
        assert caught.value.code == "DEADLINE_EXCEEDED"
        assert 0.35 < time.monotonic() - started < 3


def test_a_stream_that_ends_without_an_end_is_an_error(client: Client, loop: Background) -> None:
    with held(loop, serving(Scripted().handlers())) as target:
        stream = client(target, timeout=5).filter_stream(["a", "stop", "b"], rulesets=["pii"])
        received = []
        with pytest.raises(TidegateUnavailable):
            received += list(stream)
        assert not stream.complete


def test_a_stream_fails_where_its_service_fails(client: Client, loop: Background) -> None:
    with held(loop, serving(Scripted(None, grpc.StatusCode.INTERNAL).handlers())) as target:
        stream = client(target, timeout=5).filter_stream(["a", "b"], rulesets=["pii"])
        assert next(stream) == "a"
        with pytest.raises(TidegateUnavailable, match="INTERNAL"):
            next(stream)


def test_a_slow_source_is_no_silent_service(client: Client, loop: Background) -> None:
    """The deadline of a stream is for each answer: a model may think for longer than that."""

    def chunks() -> Iterator[str]:
        yield "a"
        time.sleep(0.5)
        yield "stop"

    with held(loop, serving(Scripted().handlers())) as target:
        stream = client(target, timeout=0.3).filter_stream(chunks(), rulesets=["pii"])
        assert [next(stream), next(stream)] == ["a", "stop"]
        stream.close()


@pytest.mark.parametrize(
    "options",
    [{"timeout": 0}, {"timeout": -1.0}, {"timeout": float("nan")}, {"retries": -1}, {"on_unavailable": "allow"}],
)
def test_wrong_settings_are_refused_at_once(options: dict[str, Any]) -> None:
    for kind in (Tidegate, AsyncTidegate):
        with pytest.raises(ValueError, match=r"timeout|retries|on_unavailable"):
            kind("127.0.0.1:1", **options)


def test_a_status_of_the_callers_fault_keeps_its_words(client: Client, loop: Background, world: World) -> None:
    with (
        held(loop, serving(make_servicer(world).handlers())) as target,
        pytest.raises(TidegateInvalid, match="unknown ruleset 'nothing'"),
    ):
        client(target, timeout=5).filter_text("x", rulesets=["nothing"])
