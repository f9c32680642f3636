"""References through the real Envoy: what the request does not refer to, the answer does not either."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.keys import POLICY
from tests.e2e.stack import Gate, running_gate
from tests.e2e.upstream import Upstream, chat, chunked, delta, finish, json_answer

GROUNDED = POLICY.replace(
    "rulesets:\n  secrets:",
    "allow_lists: {own: {domains: [help.example]}}\n"
    "rulesets:\n"
    "  sources: [{detect: [UNGROUNDED_URL, UNGROUNDED_EMAIL, UNGROUNDED_CITATION], act: redact}]\n"
    "  secrets:",
).replace("rulesets: [stop]\n", "rulesets: [stop, sources]\n")
REQUEST = {
    "model": "small",
    "messages": [{"role": "user", "content": "What say https://docs.example/a and doi:10.1000/xyz? Tell Doe (2020)."}],
}
SAID = (
    "https://docs.example/a, https://docs.example/b, 10.1000/xyz, (Doe, 2020), (Roe, 2020), https://www.help.example/"
)
SAFE = "https://docs.example/a, [UNGROUNDED_URL], 10.1000/xyz, (Doe, 2020), ([UNGROUNDED_CITATION]), https://www.help.example/"


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[tuple[Gate, Path]]:
    directory = tmp_path_factory.mktemp("grounding")
    with running_gate(directory, upstream, policy=GROUNDED) as gate:
        yield gate, directory


def test_an_answer_refers_to_what_its_request_does_and_to_nothing_else(held: tuple[Gate, Path]) -> None:
    gate, _ = held
    answer = gate.send("POST", "/v1/chat/completions", json_answer(chat(SAID)), json=REQUEST)
    assert answer.json()["choices"][0]["message"]["content"] == SAFE
    assert "docs.example/a" not in gate.told(answer)


def test_a_stream_does_neither(held: tuple[Gate, Path]) -> None:
    gate, _ = held
    pieces = [delta(SAID[at : at + 5]) for at in range(0, len(SAID), 5)]
    answer = gate.send("POST", "/v1/chat/completions", chunked([*pieces, *finish()]), json=REQUEST)
    assert "docs.example/b" not in answer.text.replace('"}}]}', "")
    assert answer.text.count("[UNGROUNDED_URL]") == 1
    assert answer.text.count("[UNGROUNDED_CITATION]") == 1


def test_the_model_gets_the_request_as_it_was(held: tuple[Gate, Path]) -> None:
    gate, _ = held
    script = gate.script(json_answer(chat("fine")))
    body = b'{"model": "small",  "messages": [{"role": "user", "content": "https://docs.example/a"}]}'
    gate.send("POST", "/v1/chat/completions", script, content=body, headers={"content-type": "application/json"})
    assert [seen.body for seen in gate.seen(script)] == [body]


def test_of_a_request_that_cannot_be_read_nothing_is_known(held: tuple[Gate, Path]) -> None:
    gate, _ = held
    said = json_answer(chat("see https://docs.example/a"))
    body = gzip.compress(b"https://docs.example/a")
    packed = gate.send("POST", "/predict/x", said, content=body, headers={"content-encoding": "gzip"})
    plain = gate.send("POST", "/predict/x", said, content=b"https://docs.example/a")
    assert "see [UNGROUNDED_URL]" in packed.text
    assert "see [UNGROUNDED_URL]" in gate.get(said, "/predict/x").text
    assert "see https://docs.example/a" in plain.text
