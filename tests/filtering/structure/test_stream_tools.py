"""Calls of tools that stream: their arguments are held to the schema of the tool that was named, once."""

from __future__ import annotations

import json
from collections.abc import Callable
from time import process_time
from typing import Any

import pytest
from tidegate.filtering.structure.demand import Shape, Structure
from tidegate.filtering.structure.schema import Schema

from tests.filtering.formats.bodies import payloads
from tests.filtering.formats.events import frame, partial, response_call, tool
from tests.filtering.structure.bodies import BAD, CITY, GOOD, tools
from tests.filtering.structure.streams import DONE, STOP, finish, held, named_tool, run


def named_block(name: str) -> bytes:
    return frame(
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "tool_use", "id": "t", "name": name, "input": {}},
        }
    )


def named_item(name: str) -> bytes:
    item = {"type": "function_call", "id": "f", "name": name, "arguments": ""}
    return frame({"type": "response.output_item.added", "output_index": 0, "item": item})


CALLS: dict[str, tuple[Callable[[str], bytes], Callable[[str], Any], bytes]] = {
    "chat": (named_tool, tool, finish(2, "tool_calls") + DONE),
    "messages": (named_block, partial, STOP),
    "responses": (named_item, response_call, frame({"type": "response.completed", "response": {"output": []}})),
}


@pytest.mark.parametrize("api", CALLS)
def test_arguments_are_held_to_the_schema_of_their_tool(api: str) -> None:
    name, make, end = CALLS[api]
    good = [name("lookup"), frame(make(GOOD[:6])), frame(make(GOOD[6:])), end]
    assert run(held(tools()), good) == (b"".join(good), "valid", False)
    out, verdict, blocked = run(held(tools()), [name("lookup"), frame(make(BAD[:6])), frame(make(BAD[6:])), end])
    assert payloads(out) == payloads(name("lookup") + frame(make(BAD[:6])))
    assert (verdict, blocked) == ("tools.lookup/schema/properties/city/type", True)
    assert run(held(tools()), [name("lookup"), frame(make(GOOD[:6])), end])[1:] == ("tools.lookup/json", True)


@pytest.mark.parametrize("api", CALLS)
def test_a_tool_that_nobody_named_is_stopped_when_its_call_begins(api: str) -> None:
    name, make, end = CALLS[api]
    assert run(held(tools()), [name("rm"), frame(make("{}")), end]) == (b"", "tools/unknown_tool", True)
    assert run(held(tools()), [name("rm"), end]) == (b"", "tools/unknown_tool", True)
    assert run(held(tools()), [frame(make("{}")), end])[1:] == ("tools/unknown_tool", True)
    passed = [name("rm"), frame(make("not JSON")), end]
    assert run(held(tools(others=None)), passed) == (b"".join(passed), "unchecked", False)


def test_a_call_without_arguments_is_held_to_the_schema_of_its_tool() -> None:
    """Clients call the tool without any, or with none: in no piece stands what is wrong."""
    end = CALLS["chat"][2]
    assert run(held(tools()), [named_tool("lookup"), end]) == (named_tool("lookup"), "tools.lookup/json", True)
    assert run(held(tools()), [named_tool("lookup")])[1:] == ("tools.lookup/json", True)
    block = [named_block("lookup"), STOP]
    assert run(held(tools()), block) == (block[0], "tools.lookup/schema/required", True)
    nothing = Structure(tools={"lookup": Shape(Schema({"type": "object"}))}, others="block")
    assert run(held(nothing), block) == (b"".join(block), "valid", False)
    whole = frame(
        {"type": "response.function_call_arguments.done", "item_id": "f", "output_index": 0, "arguments": BAD}
    )
    item = [named_item("lookup"), whole]
    assert run(held(tools()), item) == (item[0], "tools.lookup/schema/properties/city/type", True)


@pytest.mark.parametrize("given", [json.loads(GOOD), json.loads(BAD), [], 7, False])
def test_arguments_that_are_an_object_and_no_text_are_judged(given: Any) -> None:
    fault = CITY.fault(given)
    call = {"index": 0, "function": {"name": "lookup", "arguments": given}}
    chat_ = [frame({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}), finish(), DONE]
    assert run(held(tools()), chat_)[1:] == (f"tools.lookup/{fault}" if fault else "valid", fault != "")
    started = {"type": "tool_use", "id": "t", "name": "lookup", "input": given}
    block = [frame({"type": "content_block_start", "index": 0, "content_block": started}), STOP]
    assert run(held(tools()), block)[2] == (fault != "")


def test_a_name_that_comes_behind_the_arguments_does_not_save_them() -> None:
    late = [frame(tool(BAD)), named_tool("lookup"), CALLS["chat"][2]]
    assert run(held(tools(others=None)), late) == (late[0], "tools/late_name", True)
    call = {"index": 1, "function": {"arguments": json.loads(BAD)}}
    given = [frame({"choices": [{"index": 2, "delta": {"tool_calls": [call]}}]}), *late[1:]]
    assert run(held(tools(others=None)), given) == (given[0], "tools/late_name", True)
    other = [frame(tool(BAD)), named_tool("rm"), CALLS["chat"][2]]
    assert run(held(tools(others=None)), other) == (b"".join(other), "unchecked", False)


def test_a_megabyte_of_calls_is_judged_in_linear_time() -> None:
    def seconds(calls: int) -> float:
        events = []
        for number in range(calls):
            call = {"index": number, "function": {"name": "lookup", "arguments": GOOD[:-1]}}
            events.append(frame({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}))
            events.append(finish(1))
        rewriter = held(tools(), cap=1 << 24)
        start = process_time()
        for event in events:
            rewriter.feed(event)
        return process_time() - start

    small = min(seconds(500) for _ in range(3))
    assert min(seconds(4000) for _ in range(3)) < 8 * 3 * max(small, 0.02)


def test_a_call_has_one_name() -> None:
    assert run(held(tools()), [named_tool("lookup"), named_tool("rm"), DONE])[1:] == ("tools/two_names", True)
