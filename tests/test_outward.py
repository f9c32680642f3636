"""What a caller sees of a refusal and of its limits."""

from __future__ import annotations

import json
import math

import pytest
from tidegate.model import Admission, Deny, Limit, LimitState, Reason
from tidegate.outward import dialect_of, limit_headers, render, retry_after

BUCKET = Limit("tier:free", "rpm", "token_bucket", 20, 60.0, 20, ("subject",))
WINDOW = Limit("platform", "ip", "sliding_window", 100, 60.0)


def test_openai_paths_get_openais_error_object() -> None:
    deny = Deny(
        429, Reason.LIMIT_EXCEEDED, "Limit 'rpm' is exhausted.", (("retry-after", "3"),), detail="secret detail"
    )
    status, headers, body = render(deny, "req-1", dialect_of("/v1/chat/completions"))
    assert status == 429
    assert ("retry-after", "3") in headers
    assert ("x-request-id", "req-1") in headers
    assert json.loads(body) == {
        "error": {
            "message": "Limit 'rpm' is exhausted.",
            "type": "rate_limit_error",
            "param": None,
            "code": "rate_limit_exceeded",
        }
    }


def test_other_paths_get_problem_json() -> None:
    status, headers, body = render(Deny(403, Reason.ACCESS_DENIED, "No."), "req-1", dialect_of("/api/sentiment"))
    assert ("content-type", "application/problem+json") in headers
    problem = json.loads(body)
    assert (status, problem["status"], problem["title"], problem["code"]) == (403, 403, "Forbidden", "access_denied")
    assert problem["type"] == "about:blank"
    assert "violated-policies" not in problem


def test_a_problem_of_limits_names_the_policies_that_were_violated() -> None:
    deny = Deny(429, Reason.LIMIT_EXCEEDED, "Limit 'day' is exhausted.", violated=("rpm", "day"), detail="tenant:acme")
    _, _, body = render(deny, "req-1", "problem")
    problem = json.loads(body)
    assert problem["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert problem["violated-policies"] == ["rpm", "day"]
    assert problem["detail"] == "Limit 'day' is exhausted."
    assert b"acme" not in body


@pytest.mark.parametrize("dialect", ["openai", "problem"])
def test_the_internal_detail_never_leaves(dialect: str) -> None:
    _, headers, body = render(Deny(401, Reason.CREDENTIAL_INVALID, "No.", detail="alg_none"), "r", dialect)  # type: ignore[arg-type]
    assert b"alg_none" not in body
    assert "alg_none" not in str(headers)


def test_limits_are_told_in_the_drafts_and_in_openais_form() -> None:
    headers = dict(limit_headers(Admission((LimitState(BUCKET, 5, 45.2), LimitState(WINDOW, 93, 0.25)))))
    assert headers == {
        "ratelimit-policy": '"rpm";q=20;w=60, "ip";q=100;w=60',
        "ratelimit": '"rpm";r=5;t=46, "ip";r=93;t=1',
        "x-ratelimit-limit-requests": "20",
        "x-ratelimit-remaining-requests": "5",
        "x-ratelimit-reset-requests": "46s",
    }


def test_tokens_are_told_beside_requests_each_by_its_tightest_limit() -> None:
    day = Limit("tier:free", "tpd", "sliding_window", 90_000, 86_400.0, cost="tokens")
    minute = Limit("tier:free", "tpm", "sliding_window", 5_000, 60.0, cost="prompt_tokens")
    size = Limit("platform", "bytes", "sliding_window", 1_000, 60.0, cost="request_bytes")
    states = (LimitState(BUCKET, 5, 45.2), LimitState(day, 80_000, 9.0), LimitState(minute, 4_200, 30.0))
    headers = dict(limit_headers(Admission((*states, LimitState(size, 1, 1.0)))))
    assert headers["x-ratelimit-limit-requests"] == "20"
    assert headers["x-ratelimit-remaining-requests"] == "5"
    assert headers["x-ratelimit-limit-tokens"] == "5000"
    assert headers["x-ratelimit-remaining-tokens"] == "4200"
    assert headers["x-ratelimit-reset-tokens"] == "30s"
    assert headers["ratelimit-policy"] == (
        '"rpm";q=20;w=60, "tpd";q=90000;w=86400;tidegate-unit="tokens", '
        '"tpm";q=5000;w=60;tidegate-unit="prompt-tokens", "bytes";q=1000;w=60;qu="content-bytes"'
    )


def test_what_runs_at_once_is_told_in_the_drafts_unit_and_not_as_openais_requests() -> None:
    running = Limit("endpoint:chat", "running", "concurrency", 4, 60.0)
    headers = dict(limit_headers(Admission((LimitState(running, 1, 60.0), LimitState(BUCKET, 5, 45.2)))))
    assert headers["ratelimit-policy"] == '"running";q=4;qu="concurrent-requests", "rpm";q=20;w=60'
    assert headers["ratelimit"] == '"running";r=1, "rpm";r=5;t=46'
    assert headers["x-ratelimit-limit-requests"] == "20"
    assert headers["x-ratelimit-remaining-requests"] == "5"
    alone = dict(limit_headers(Admission((LimitState(running, 0, 60.0, 1.0),))))
    assert set(alone) == {"ratelimit-policy", "ratelimit"}


def test_money_is_told_in_its_own_unit_and_is_no_tokens() -> None:
    month = Limit("tenant:acme", "spend", "quota", 50_000_000, 2_678_400.0, cost="money", currency="EUR")
    assert dict(limit_headers(Admission((LimitState(month, 1_250_000, 9.0),)))) == {
        "ratelimit-policy": '"spend";q=50000000;w=2678400;tidegate-unit="micro-eur"',
        "ratelimit": '"spend";r=1250000;t=9',
    }
    tokens = Limit("tier:free", "tpd", "sliding_window", 90_000_000, 86_400.0, cost="tokens")
    headers = dict(limit_headers(Admission((LimitState(month, 1, 9.0), LimitState(tokens, 80_000_000, 9.0)))))
    assert headers["x-ratelimit-remaining-tokens"] == "80000000"


def test_a_unit_without_a_limit_has_no_headers() -> None:
    tokens = Limit("tier:free", "tpd", "sliding_window", 90_000, 86_400.0, cost="completion_tokens")
    headers = dict(limit_headers(Admission((LimitState(tokens, -7, 9.0),))))
    assert "x-ratelimit-limit-requests" not in headers
    assert headers["x-ratelimit-remaining-tokens"] == "0"


def test_no_limit_no_header() -> None:
    assert limit_headers(Admission(())) == ()


@pytest.mark.parametrize(("seconds", "header"), [(0.2, "1"), (2.0, "2"), (2.0001, "3")])
def test_retry_after_is_rounded_up_so_that_an_obedient_client_is_admitted(seconds: float, header: str) -> None:
    assert retry_after(LimitState(BUCKET, 0, 60.0, seconds)) == (("retry-after", header),)


def test_what_never_fits_has_no_retry_after() -> None:
    assert retry_after(LimitState(BUCKET, 0, 60.0, math.inf)) == ()
