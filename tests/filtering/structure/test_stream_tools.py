"""Calls of tools that stream: their arguments are held to the schema of the tool that was named, once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.filtering.formats.bodies import payloads
from tests.filtering.formats.events import frame, partial, response_call, tool
from tests.filtering.structure.bodies import BAD, GOOD, tools
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
def test_a_tool_that_nobody_named_is_stopped_with_its_first_piece(api: str) -> None:
    name, make, end = CALLS[api]
    assert run(held(tools()), [name("rm"), frame(make("{}")), end]) == (name("rm"), "tools/unknown_tool", True)
    assert run(held(tools()), [frame(make("{}")), end])[1:] == ("tools/unknown_tool", True)
    passed = [name("rm"), frame(make("not JSON")), end]
    assert run(held(tools(others=None)), passed) == (b"".join(passed), "unchecked", False)


def test_a_call_has_one_name() -> None:
    assert run(held(tools()), [named_tool("lookup"), named_tool("rm"), DONE])[1:] == ("tools/two_names", True)
