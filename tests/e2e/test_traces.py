"""One exchange is one trace through the real Envoy: the caller's, or Envoy's own, over Check and Process."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from tidegate.demo.stack import StackError
from tidegate_client import Allowed, Tidegate

from tests.e2e.collector import Collector, collecting
from tests.e2e.stack import Gate, manager, running_gate, until
from tests.e2e.upstream import Upstream, chat, chunked, delta, finish, json_answer


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture
def traced(tmp_path: Path, upstream: Upstream, collector: Collector) -> Iterator[Gate]:
    """Two workers: either may see either half of an exchange."""
    flags = {"otlp": f"http://127.0.0.1:{collector.port}"}
    with running_gate(tmp_path, upstream, workers=2, flags=flags) as gate:
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
    assert traced.get(key=None, headers={"traceparent": parent}).status_code == 401
    _, _, unsampled = traceparent("00")
    assert traced.get(json_answer(chat("hello")), headers={"traceparent": unsampled}).status_code == 200
    for worker in traced.workers:
        assert worker.stop() == 0
    spans = collector.spans()
    (check,) = [span for span in spans if span.name == "tidegate.check"]
    assert check.trace_id.hex() == trace
    assert (said(check)["outcome"], said(check)["reason"]) == ("deny", "credential_missing")
    assert {span.name for span in spans} == {"tidegate.check", "tidegate.identify"}
    assert {span.trace_id.hex() for span in spans} == {trace}


@pytest.mark.parametrize("parent", ["", "00-zz", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "x" * 5000])
def test_without_a_good_parent_there_is_a_trace_of_its_own(traced: Gate, collector: Collector, parent: str) -> None:
    assert traced.get(json_answer(chat("hello")), headers={"traceparent": parent}).status_code == 200
    spans = ended(traced, collector)
    assert len({span.trace_id for span in spans.values()}) == 1
    assert spans["tidegate.check"].parent_span_id == b""
    assert spans["tidegate.process"].parent_span_id == spans["tidegate.check"].span_id


def test_where_envoy_traces_it_is_one_trace_with_its_own(
    tmp_path: Path, upstream: Upstream, collector: Collector
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
        trace, _, parent = traceparent()
        assert gate.get(json_answer(chat("hello")), headers={"traceparent": parent}).status_code == 200
        until(lambda: collector.spans("envoy"), what="Envoy's spans")
        spans = ended(gate, collector)
        by_envoy = {span.span_id for span in collector.spans("envoy") if span.trace_id.hex() == trace}
    assert {span.trace_id.hex() for span in spans.values()} == {trace}
    assert spans["tidegate.check"].parent_span_id in by_envoy


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
