"""The model app by itself: open, unfiltered, with real scores and streams that split what they leak."""

import json
from itertools import pairwise

import pytest
from flask.testing import FlaskClient
from tidegate.demo.app import create_app
from tidegate.demo.chat import compose, tokenise
from tidegate.demo.customers import customers, find_customer


@pytest.fixture
def app() -> FlaskClient:
    return create_app(delays=(0.0,)).test_client()


def chat(app: FlaskClient, **body):
    return app.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": "Who is Bob?"}]} | body)


def events(text: str) -> list[str]:
    return [line.removeprefix("data: ") for line in text.splitlines() if line]


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("I love it, this is wonderful!", "positive"),
        ("I hate it, this is a horrible failure.", "negative"),
        ("The parcel has four corners.", "neutral"),
    ],
)
def test_sentiment_is_really_analysed(app, text, label):
    answer = app.post("/api/sentiment", json={"text": text}).get_json()
    assert answer["label"] == label
    assert (answer["scores"]["compound"] > 0) == (label == "positive")
    assert answer["text"] == text
    assert answer["customer"] is None


def test_sentiment_leaks_the_record_of_a_named_customer(app):
    answer = app.post("/api/sentiment", json={"text": "ada is great"}).get_json()
    assert answer["customer"]["email"] == "ada@example.com"
    assert answer["customer"]["phone"] == "+1 202-555-0143"


@pytest.mark.parametrize("body", [b"", b"not json", b"[]", b"{}", b'{"text": ""}', b'{"text": 7}'])
def test_sentiment_refuses_what_it_cannot_read(app, body):
    assert app.post("/api/sentiment", data=body).status_code == 400


@pytest.mark.parametrize(
    "body",
    [{}, {"model": "huge"}, {"model": "small", "messages": []}, {"model": "small", "messages": [{"content": [1]}]}],
)
def test_chat_refuses_what_it_cannot_read(app, body):
    assert chat(app, **body).status_code == 400


def test_models_are_listed_as_openai_lists_them(app):
    answer = app.get("/v1/models").get_json()
    assert answer["object"] == "list"
    assert [model["id"] for model in answer["data"]] == ["small", "large"]


@pytest.mark.parametrize("model", ["small", "large"])
def test_stream_and_whole_say_the_same(app, model):
    whole = chat(app, model=model).get_json()
    response = chat(app, model=model, stream=True)
    assert response.mimetype == "text/event-stream"
    *chunks, end = events(response.get_data(as_text=True))
    assert end == "[DONE]"
    parsed = [json.loads(chunk) for chunk in chunks]
    said = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in parsed)
    assert said == whole["choices"][0]["message"]["content"] == compose(model, "Who is Bob?")
    assert [chunk["choices"][0]["finish_reason"] for chunk in parsed[-2:]] == [None, "stop"]
    assert len({chunk["id"] for chunk in parsed}) == 1


def test_usage_is_streamed_when_asked_for(app):
    whole = chat(app, model="small").get_json()["usage"]
    text = chat(app, model="small", stream=True, stream_options={"include_usage": True}).get_data(as_text=True)
    last = json.loads(events(text)[-2])
    assert last["choices"] == []
    assert last["usage"] == whole
    assert whole["total_tokens"] == whole["prompt_tokens"] + whole["completion_tokens"]


def test_small_tells_of_whom_it_was_asked_and_large_of_everybody():
    assert "bob.sample@example.org" in compose("small", "Who is Bob?")
    assert "ada@example.com" not in compose("small", "Who is Bob?")
    assert all(customer.email in compose("large", "anything") for customer in customers())


@pytest.mark.parametrize(
    "text", ["", " ", "one", " two  spaces ", "tail\n", "ada@example.com, or not", compose("large", "")]
)
def test_tokens_join_to_the_text(text):
    assert "".join(tokenise(text)) == text


def test_tokens_split_the_values():
    tokens = tokenise("at ada@example.com now")
    assert " ada@exam" in tokens
    deltas = tokenise(compose("large", ""))
    values = [value for c in customers() for value in (c.email, c.phone, c.card, c.iban)]
    assert not any(value in delta for value in values for delta in deltas)
    assert any(left.endswith("ada@exam") and right.startswith("ple.com") for left, right in pairwise(deltas))


def test_customers_are_found_by_name_or_address():
    assert find_customer("write to CHLOE").first_name == "Chloe"
    assert find_customer("bob.sample@example.org wrote").first_name == "Bob"
    assert find_customer("nobody") is None


def test_customers_are_made_up():
    """Reserved domains and 555-01xx numbers only: nobody can be reached by accident."""
    for customer in customers():
        assert customer.email.endswith(("example.com", "example.org", "example.net"))
        assert "555-01" in customer.phone


def test_the_last_request_headers_are_remembered(app):
    assert app.get("/debug/last-headers").get_json()["headers"] == []
    app.post("/api/sentiment", json={"text": "x"}, headers={"X-Tidegate-Subject": "eve"})
    app.get("/healthz")
    seen = app.get("/debug/last-headers").get_json()
    assert seen["path"] == "/api/sentiment"
    assert ["x-tidegate-subject", "eve"] in seen["headers"]
