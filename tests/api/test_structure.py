"""Structures that an endpoint demands, over our own API: held to, told of, and refused where there is none to judge."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tidegate.api import tidegate_pb2 as pb
from tidegate.api.faults import InvalidCall

from tests.api.calls import END, text
from tests.client.world import make_servicer, make_world

STRUCTURED = """
version: 1
tiers: {free: {}}
rulesets: {pii: [{detect: [EMAIL], act: redact}]}
tenants: {acme: {}}
endpoints:
  extract:
    owner: acme
    match: {hosts: ["*"], path: /extract, methods: [POST]}
    rulesets: [pii]
    structure: {answer: {schema: {type: object, required: [total], properties: {total: {type: number}}}}}
  watched:
    owner: acme
    match: {hosts: ["*"], path: /watched, methods: [POST]}
    rulesets: [pii]
    structure: {answer: {schema: {type: object}, act: annotate}}
"""


def _answer(text: str, **more: Any) -> str:
    return json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, **more}]})


def _sent(endpoint: str, text: str, content_type: str = "application/json") -> pb.FilterTextRequest:
    selection = pb.Selection(endpoint=endpoint, tier="free")
    return pb.FilterTextRequest(text=text, selection=selection, content_type=content_type)


async def test_a_response_of_an_endpoint_that_is_named_is_held_to_its_structure(tmp_path: Path) -> None:
    servicer = make_servicer(make_world(tmp_path, STRUCTURED))
    good = await servicer.filter_text(_sent("extract", _answer('{"total": 3, "by": "bob@example.com"}')))
    assert "[EMAIL]" in good.text
    assert (good.coverage.structure, good.HasField("blocked")) == ("valid", False)

    for bad in (_answer('{"total": "3"}'), _answer("no JSON"), '{"unknown": 1}'):
        told = await servicer.filter_text(_sent("extract", bad))
        assert (told.text, told.blocked.entity) == ("", "STRUCTURE")
        assert told.coverage.structure == told.blocked.where

    events = f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': '{'}}]})}\n\n" * 2 + "data: [DONE]\n\n"
    stream = await servicer.filter_text(_sent("extract", events, "text/event-stream"))
    assert (stream.text, stream.blocked.entity) == ("", "STRUCTURE")


async def test_what_has_no_structure_is_refused_where_one_is_demanded(tmp_path: Path) -> None:
    world = make_world(tmp_path, STRUCTURED)
    servicer, shadowed = make_servicer(world), make_servicer(world, shadow=True)
    selection = pb.Selection(endpoint="extract", tier="free")
    start = pb.FilterStreamRequest(start=pb.FilterStreamRequest.Start(selection=selection))

    async def messages() -> AsyncIterator[pb.FilterStreamRequest]:
        for message in (start, text('{"total": "bob@example.com"}'), END):
            yield message

    for kind in ("", "text/plain", "text/csv"):
        with pytest.raises(InvalidCall, match="demands a structure of its responses"):
            await servicer.filter_text(_sent("extract", '{"total": 3}', kind))
    with pytest.raises(InvalidCall, match="demands a structure of its responses"):
        _ = [answer async for answer in servicer.filter_stream(messages())]
    passed = [answer async for answer in shadowed.filter_stream(messages())]
    assert "".join(answer.text for answer in passed) == '{"total": "bob@example.com"}'
    assert passed[-1].done.coverage.structure == "unchecked"


async def test_a_structure_that_only_annotates_changes_nothing_and_is_told_of(tmp_path: Path) -> None:
    servicer = make_servicer(make_world(tmp_path, STRUCTURED))
    said = await servicer.filter_text(_sent("watched", _answer("no JSON, bob@example.com")))
    assert "no JSON, [EMAIL]" in said.text
    assert said.coverage.structure == "answer/json"
    assert ("STRUCTURE", "annotate") in {(found.entity, found.action) for found in said.findings}
    plain = await servicer.filter_text(_sent("watched", "bob@example.com", ""))
    assert (plain.text, plain.coverage.structure) == ("[EMAIL]", "unchecked")
