"""One exchange is one trace through the real Envoy: the caller's, or Envoy's own, over Check and Process, told back."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import propagate
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Tracer, format_span_id, format_trace_id
from tidegate.demo.stack import StackError
from tidegate_client import Allowed, AsyncTidegate, Tidegate, TidegateInvalid

from tests.e2e.collector import Collector, collecting
from tests.e2e.stack import Gate, manager, running_gate, until
from tests.e2e.upstream import Upstream, chat, chunked, delta, finish, json_answer


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture
def caller() -> Tracer:
    """Of an application that uses OpenTelemetry."""
    return TracerProvider(shutdown_on_exit=False).get_tracer("caller")


@pytest.fixture
def traced(asking: dict[str, bool], tmp_path: Path, upstream: Upstream, collector: Collector) -> Iterator[Gate]:
    """Two workers: either may see either half of an exchange."""
    flags = {"otlp": f"http://127.0.0.1:{collector.port}"}
    with running_gate(tmp_path, upstream, workers=2, flags=flags, **asking) as gate:
        yield gate


def traceparent(flags: str = "01") -> tuple[str, str, str]:
    trace, span = secrets.token_hex(16), secrets.token_hex(8)
    return trace, span, f"00-{trace}-{span}-{flags}"


def ended(gate: Gate, collector: Collector) -> Mapping[str, Span]:
    """The spans by name, after all that the workers had to send was sent."""
    for worker in gate.workers:
        assert worker.stop() == 0
    spans = {span.name: span for span in collector.spans()}
    assert len(spans) == len(collector.spans())
    return spans


def said(span: Span) -> dict[str, Any]:
    return {a.key.removeprefix("tidegate."): a.value.string_value or a.value.int_value for a in span.attributes}


def test_check_and_process_are_in_the_trace_of_the_caller(traced: Gate, collector: Collector) -> None:
    trace, caller, parent = traceparent()
    answer = traced.get(
        chunked([*map(delta, ["write to b", "ob@example.com"]), *finish()]), headers={"traceparent": parent}
    )
    assert answer.status_code == 200
    spans = ended(traced, collector)
    assert spans.keys() == {f"tidegate.{n}" for n in ("check", "process", "identify", "authorize", "admit")}
    assert {span.trace_id.hex() for span in spans.values()} == {trace}
    check = spans["tidegate.check"]
    assert check.parent_span_id.hex() == caller
    for name, span in spans.items():
        assert name == "tidegate.check" or span.parent_span_id == check.span_id
        assert span.start_time_unix_nano <= span.end_time_unix_nano
    assert check.start_time_unix_nano <= spans["tidegate.identify"].start_time_unix_nano
    assert spans["tidegate.admit"].end_time_unix_nano <= check.end_time_unix_nano
    told = said(check)
    assert len(told.pop("policy")) > 6
    assert told == {
        "request_id": answer.headers["x-request-id"],
        "endpoint": "predict",
        "outcome": "allow",
        "tier": "free",
    }
    done = said(spans["tidegate.process"])
    assert (done["outcome"], done["endpoint"], done["findings"]) == ("rewritten", "predict", 1)
    assert done["scanned_bytes"] > 0


def test_a_refusal_says_why_and_a_trace_that_is_not_sampled_stays_so(traced: Gate, collector: Collector) -> None:
    trace, _, parent = traceparent()
    refused = traced.get(key=None, headers={"traceparent": parent})
    _, _, unsampled = traceparent("00")
    passed = traced.get(json_answer(chat("hello")), headers={"traceparent": unsampled})
    assert (refused.status_code, passed.status_code) == (401, 200)
    for worker in traced.workers:
        assert worker.stop() == 0
    spans = collector.spans()
    (check,) = [span for span in spans if span.name == "tidegate.check"]
    assert check.trace_id.hex() == trace
    assert (said(check)["outcome"], said(check)["reason"]) == ("deny", "credential_missing")
    assert refused.headers["traceresponse"] == f"00-{trace}-{check.span_id.hex()}-01"
    assert passed.headers["traceresponse"].endswith("-00")
    assert {span.name for span in spans} == {"tidegate.check", "tidegate.identify"}
    assert {span.trace_id.hex() for span in spans} == {trace}


def test_an_answer_in_the_place_of_one_that_is_withheld_names_the_same_span(traced: Gate, collector: Collector) -> None:
    answer = traced.get(json_answer(b"{"))
    assert answer.status_code == 502
    check = ended(traced, collector)["tidegate.check"]
    assert answer.headers["traceresponse"].rpartition("-")[0] == f"00-{check.trace_id.hex()}-{check.span_id.hex()}"


@pytest.mark.parametrize("parent", ["", "00-zz", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "x" * 5000])
def test_without_a_good_parent_there_is_a_trace_of_its_own(traced: Gate, collector: Collector, parent: str) -> None:
    assert traced.get(json_answer(chat("hello")), headers={"traceparent": parent}).status_code == 200
    spans = ended(traced, collector)
    assert len({span.trace_id for span in spans.values()}) == 1
    assert spans["tidegate.check"].parent_span_id == b""
    assert spans["tidegate.process"].parent_span_id == spans["tidegate.check"].span_id


def test_one_trace_leads_from_the_caller_through_envoy_check_and_process_to_the_model_and_back(
    tmp_path: Path, upstream: Upstream, collector: Collector, caller: Tracer
) -> None:
    def tracing(document: dict[str, Any]) -> None:
        manager(document)["tracing"] = {
            "provider": {
                "name": "envoy.tracers.opentelemetry",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
                    "grpc_service": {"envoy_grpc": {"cluster_name": "otlp"}, "timeout": "1s"},
                    "service_name": "envoy",
                },
            }
        }
        http2 = {"explicit_http_config": {"http2_protocol_options": {}}}
        address = {"address": "127.0.0.1", "port_value": collector.port}
        document["static_resources"]["clusters"].append(
            {
                "name": "otlp",
                "type": "STATIC",
                "typed_extension_protocol_options": {
                    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                        **http2,
                    }
                },
                "load_assignment": {
                    "cluster_name": "otlp",
                    "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": address}}}]}],
                },
            }
        )

    flags = {"otlp": f"http://127.0.0.1:{collector.port}"}
    with running_gate(tmp_path, upstream, flags=flags, tweak=tracing) as gate:
        name = gate.script(json_answer(chat("hello")))
        with caller.start_as_current_span("the caller's") as own:
            headers = {"tracestate": "vendor=opaque"}
            propagate.inject(headers)
            answer = gate.get(name, headers=headers)
        assert answer.status_code == 200
        until(lambda: collector.spans("envoy"), what="Envoy's spans")
        spans = ended(gate, collector)
        by_envoy = {span.span_id.hex(): span for span in collector.spans("envoy")}
        (seen,) = gate.seen(name)
    trace = format_trace_id(own.get_span_context().trace_id)
    check, process = spans["tidegate.check"], spans["tidegate.process"]
    assert {span.trace_id.hex() for span in (*spans.values(), *by_envoy.values())} == {trace}
    assert format_span_id(own.get_span_context().span_id) in {span.parent_span_id.hex() for span in by_envoy.values()}
    assert check.parent_span_id.hex() in by_envoy
    assert process.parent_span_id == check.span_id
    assert (check.trace_state, process.trace_state) == ("vendor=opaque", "vendor=opaque")
    assert answer.headers["traceresponse"] == f"00-{trace}-{check.span_id.hex()}-01"
    assert dict(seen.headers)["traceparent"].split("-")[1] == trace


def test_an_exchange_of_our_own_api_is_in_the_trace_of_the_request_that_it_judges(
    traced: Gate, collector: Collector
) -> None:
    trace, caller, parent = traceparent()
    sent = [*traced.fields(), ("traceparent", parent)]
    with Tidegate(f"127.0.0.1:{traced.ports[0]}") as client:
        verdict = client.decide("GET", "/predict/x", host="x", headers=sent, exchange=True)
        assert isinstance(verdict, Allowed)
        with client.open_exchange(verdict) as exchange:
            exchange.head(200, "application/json")
            answer = exchange.body(b'{"a": "bob@example.com"}', end=True)
    assert answer.outcome == "rewritten"
    spans = ended(traced, collector)
    assert spans.keys() == {f"tidegate.{n}" for n in ("check", "process", "identify", "authorize", "admit")}
    assert {span.trace_id.hex() for span in spans.values()} == {trace}
    assert spans["tidegate.check"].parent_span_id.hex() == caller
    assert spans["tidegate.process"].parent_span_id == spans["tidegate.check"].span_id
    assert said(spans["tidegate.process"])["findings"] == 1
    assert ("traceresponse", f"00-{trace}-{spans['tidegate.check'].span_id.hex()}-01") in verdict.headers


def test_calls_of_a_client_are_below_its_span(traced: Gate, collector: Collector, caller: Tracer) -> None:
    target, who = f"127.0.0.1:{traced.ports[0]}", {"tenant": "acme", "tier": "free"}

    async def awaited() -> None:
        async with AsyncTidegate(target, timeout=20) as client:
            await client.decide("GET", "/predict/x", host="x", headers=traced.fields())
            with pytest.raises(TidegateInvalid):
                await client.consume("nowhere", who)

    with caller.start_as_current_span("the caller's") as own, Tidegate(target, timeout=20) as client:
        consumed = client.consume("predict", who, hold=10)
        client.extend(consumed.reservation, hold=20)
        client.settle(consumed.reservation, 0)
        client.filter_text("mail bob@example.com", rulesets=["pii"])
        list(client.filter_stream(["mail bob@", "example.com"], rulesets=["pii"]))
        asyncio.run(awaited())
    for worker in traced.workers:
        assert worker.stop() == 0
    span, spans = own.get_span_context(), collector.spans()
    assert {format_trace_id(span.trace_id)} == {one.trace_id.hex() for one in spans}
    asked = [one for one in spans if one.parent_span_id.hex() == format_span_id(span.span_id)]
    told = [(one.name.removeprefix("tidegate."), said(one)) for one in asked]
    read = {"outcome": "rewritten", "format": "text", "findings": 1}
    assert [name for name, _ in told] == [
        *("consume", "extend", "settle", "filter_text", "filter_stream", "check", "consume")
    ]
    assert told[0][1] == {"endpoint": "predict", "outcome": "admitted"}
    assert [told[1][1], told[2][1]] == [{"outcome": "extended"}, {"outcome": "settled"}]
    assert read.items() <= told[3][1].items()
    assert read.items() <= told[4][1].items()
    assert told[6][1] == {"failure": "InvalidCall"}


def test_where_nothing_is_traced_nothing_is_told(gate: Gate) -> None:
    _, _, parent = traceparent()
    assert "traceresponse" not in gate.get(json_answer(chat("hello")), headers={"traceparent": parent}).headers


def test_a_collector_that_is_not_there_costs_no_answer(tmp_path: Path, upstream: Upstream) -> None:
    with running_gate(tmp_path, upstream, flags={"otlp": "http://127.0.0.1:9"}) as gate:
        assert gate.get(json_answer(chat("hello"))).status_code == 200
        began = time.monotonic()
        assert gate.workers[0].stop(timeout=40) == 0
        assert time.monotonic() - began < 20


def test_an_address_that_is_none_is_refused_in_words(tmp_path: Path, upstream: Upstream) -> None:
    with (
        pytest.raises(StackError, match=r"--otlp: 'localhost:4317' does not begin with http:// or https://"),
        running_gate(tmp_path, upstream, flags={"otlp": "localhost:4317"}),
    ):
        pass
