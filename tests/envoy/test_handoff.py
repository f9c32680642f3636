"""What Check hands to Process survives the way, and nothing else is taken for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.envoy.handoff import Handoff
from tidegate.errors import ProtocolViolation
from tidegate.model import Hold, Price, Proof

text = st.text(max_size=12)
TICKET = "r.160000.abc"


@given(
    st.builds(
        Handoff,
        *[text] * 7,
        st.lists(text, max_size=3).map(tuple),
        st.sampled_from(["openai", "problem"]),
        st.sampled_from(["withhold", "pass"]),
        st.integers(0, 2**40),
        text,
        st.integers(0, 2**40),
        st.none() | st.builds(Price, *[st.integers(0, 10**12)] * 5),
        st.builds(
            Hold,
            st.floats(0, 1e6),
            st.lists(st.tuples(text, st.integers(0, 2**40)), max_size=3).map(tuple),
            st.lists(text, max_size=3).map(tuple),
            st.floats(0, 1e6),
        ),
        st.sampled_from(["", TICKET]),
        text,
        st.booleans(),
        st.none() | st.builds(Proof, *[text] * 5, *[st.none() | st.floats(0, 1e10)] * 3),
    )
)
def test_a_handoff_comes_back_as_it_went(handoff: Handoff) -> None:
    assert Handoff.decode(handoff.encode()) == handoff


@given(st.one_of(st.text(), st.lists(st.one_of(st.integers(), text, st.lists(text)), max_size=16).map(repr)))
def test_anything_else_is_a_protocol_violation(raw: str) -> None:
    with pytest.raises(ProtocolViolation):
        Handoff.decode(raw)


HELD = Hold(6.0, (("tokens", 9),), ("tpm",), 3.0)
PROVED = Proof("api_key", key="k", expires=9.0)
PAID = Price(1, 2, 3, 4)
GOOD = Handoff(
    "r", "p", "s", "t", "f", "e", "m", (), "openai", "withhold", 1, "res", 7, PAID, HELD, TICKET, "c", False, PROVED
)
END = ',false,["api_key","k","","","",null,9.0,null],""]'


@pytest.mark.parametrize("version", ["0", "7", "9", "true", '"8"', "8.0"])
def test_another_version_is_refused(version: str) -> None:
    assert Handoff.decode(GOOD.encode()) == GOOD
    with pytest.raises(ProtocolViolation):
        Handoff.decode(GOOD.encode().replace("[8,", f"[{version},", 1))


@pytest.mark.parametrize("price", ["[1,2,3,4]", "[1,2,3,4,-1]", "[1,2,3,4,true]", "[1,2,3,4,0.5]", "{}", "null"])
def test_a_price_of_another_shape_is_refused(price: str) -> None:
    good = GOOD.encode()
    assert ",[1,2,3,4,0],[6.0" in good
    with pytest.raises(ProtocolViolation):
        Handoff.decode(good.replace("[1,2,3,4,0]", price))


@pytest.mark.parametrize(
    "hold",
    [
        *("[]", "7", "[6.0,[],[]]", '["6",[],[],3.0]', "[null,[],[],3.0]", "[6.0,[],[],true]", "[6.0,[],[1],3.0]"),
        *('[6.0,[["tokens"]],[],3.0]', '[6.0,[["tokens",1.5]],[],3.0]', '[6.0,[["tokens",-1]],[],3.0]'),
        *("[-6.0,[],[],3.0]", "[6.0,[],[],-3.0]"),
    ],
)
def test_a_hold_of_another_shape_is_refused(hold: str) -> None:
    good = GOOD.encode()
    start = good.index("[6.0")
    with pytest.raises(ProtocolViolation):
        Handoff.decode(good[:start] + hold + ',"","c"' + END)


@pytest.mark.parametrize("ticket", ["null", "7", "[]", '"t"', '"r.160000"', '"r.10.abc"', '"r.1999.abc"'])
def test_a_ticket_of_another_shape_is_refused(ticket: str) -> None:
    with pytest.raises(ProtocolViolation):
        Handoff.decode(GOOD.encode().removesuffix(f'"{TICKET}","c"{END}') + f'{ticket},"c"{END}')


def test_a_conversation_of_another_shape_is_refused() -> None:
    with pytest.raises(ProtocolViolation):
        Handoff.decode(GOOD.encode().removesuffix(f'"c"{END}') + f"7{END}")


@pytest.mark.parametrize("structured", ["0", "null", '"true"'])
def test_a_structure_of_another_shape_is_refused(structured: str) -> None:
    assert Handoff.decode(GOOD.encode().removesuffix(END) + END.replace("false", "true", 1)).structured
    with pytest.raises(ProtocolViolation):
        Handoff.decode(GOOD.encode().removesuffix(END) + END.replace("false", structured, 1))


@pytest.mark.parametrize(
    "proof",
    [
        *(
            "null",
            "{}",
            "7",
            '["api_key"]',
            '["api_key","k","","","",null,9.0]',
            '["api_key",7,"","","",null,9.0,null]',
        ),
        *('["api_key","k","","","",null,"9",null]', '["api_key","k","","","",true,9.0,null]'),
        *('["api_key","k","","",7,null,9.0,null]', '["api_key","k","","","",null,9.0,"1"]'),
        '["api_key","k","","","",null,9.0,null,1]',
    ],
)
def test_a_proof_of_another_shape_is_refused(proof: str) -> None:
    with pytest.raises(ProtocolViolation):
        Handoff.decode(GOOD.encode().removesuffix(END) + f',false,{proof},""]')


@pytest.mark.parametrize("trace", ["7", "null", "[]"])
def test_a_trace_of_another_shape_is_refused(trace: str) -> None:
    traced = GOOD._replace(trace=f"00-{'a' * 32}-{'b' * 16}-01")
    assert Handoff.decode(traced.encode()) == traced
    with pytest.raises(ProtocolViolation):
        Handoff.decode(GOOD.encode().removesuffix('""]') + f"{trace}]")
