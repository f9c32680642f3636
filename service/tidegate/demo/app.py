"""The demo's model app: a Flask service with no authentication, no limits and no filtering of its own.

It is what tidegate stands in front of. `python -m tidegate.demo.app --listen 127.0.0.1:8000` serves it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from flask import Flask, Response, jsonify, request
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
from waitress import serve

from tidegate.demo.chat import CREATED, MODELS, Completion, complete
from tidegate.demo.customers import find_customer

THREADS = 64
DELAYS = (0.005, 0.007, 0.010, 0.006, 0.009)


class RequestError(ValueError):
    """The request body is not what the endpoint reads."""


def create_app(delays: tuple[float, ...] = DELAYS) -> Flask:
    """The app; `delays` are the seconds before each delta of a stream, taken in turn."""
    app = Flask("tidegate-demo-model")
    app.json.sort_keys = False  # type: ignore[attr-defined]  # typed as any JSON provider
    analyser = SentimentIntensityAnalyzer()
    seen: deque[dict[str, Any]] = deque(maxlen=1)

    @app.before_request
    def remember_headers() -> None:
        if not request.path.startswith(("/debug/", "/healthz")):
            headers = [[name.lower(), value] for name, value in request.headers.items()]
            seen.append({"method": request.method, "path": request.path, "headers": headers})

    @app.errorhandler(RequestError)
    def refuse(error: RequestError) -> tuple[Response, int]:
        return jsonify({"error": {"message": str(error), "type": "invalid_request_error"}}), 400

    @app.get("/healthz")
    def healthz() -> str:
        return "ok"

    @app.get("/debug/last-headers")
    def last_headers() -> Response:
        return jsonify(seen[-1] if seen else {"method": "", "path": "", "headers": []})

    @app.post("/api/sentiment")
    def sentiment() -> Response:
        text = _body().get("text")
        if not isinstance(text, str) or not text:
            raise RequestError("'text' must be a non-empty string")
        scores = analyser.polarity_scores(text)
        customer = find_customer(text)
        return jsonify(
            {
                "label": _label(scores["compound"]),
                "scores": scores,
                "text": text,
                "customer": asdict(customer) if customer else None,
            }
        )

    @app.get("/v1/models")
    def models() -> Response:
        listed = [{"id": name, "object": "model", "created": CREATED, "owned_by": "demo"} for name in MODELS]
        return jsonify({"object": "list", "data": listed})

    @app.post("/v1/chat/completions")
    def chat() -> Response:
        body = _body()
        if body.get("model") not in MODELS:
            raise RequestError(f"'model' must be one of {', '.join(MODELS)}")
        completion = complete(body["model"], _prompt(body))
        if not body.get("stream"):
            return jsonify(completion.document())
        options = body.get("stream_options")
        include_usage = isinstance(options, dict) and options.get("include_usage") is True
        events = _events(completion, include_usage, delays)
        return Response(events, mimetype="text/event-stream", headers={"cache-control": "no-cache"})

    return app


def _body() -> dict[str, Any]:
    body = request.get_json(force=True, silent=True)
    if not isinstance(body, dict):
        raise RequestError("the body must be a JSON object")
    return body


def _label(compound: float) -> str:
    """The thresholds that VADER's authors recommend."""
    if compound >= 0.05:
        return "positive"
    return "negative" if compound <= -0.05 else "neutral"


def _prompt(body: dict[str, Any]) -> str:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RequestError("'messages' must be a non-empty list")
    last = messages[-1]
    content = last.get("content") if isinstance(last, dict) else None
    if not isinstance(content, str):
        raise RequestError("the last message must have text content")
    return content


def _events(completion: Completion, include_usage: bool, delays: tuple[float, ...]) -> Iterator[str]:
    for number, chunk in enumerate(completion.chunks(include_usage)):
        time.sleep(delays[number % len(delays)])
        yield f"data: {json.dumps(chunk)}\n\n"
    yield "data: [DONE]\n\n"


def main() -> None:
    """Serve until the process is told to stop. Waitress writes each event as it is yielded, so streams are live."""
    parser = argparse.ArgumentParser(description="the demo's unprotected model app")
    parser.add_argument("--listen", default="127.0.0.1:8000", help="host:port")
    listen = parser.parse_args().listen
    serve(create_app(), listen=listen, threads=THREADS, ident=None, clear_untrusted_proxy_headers=False)


if __name__ == "__main__":
    main()
