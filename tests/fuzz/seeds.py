"""Where fuzzing begins: what the tests' own cases hold, for each target."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from tidegate.identity.token import TokenRejected, decode

from tests.fuzz import targets
from tests.identity import forge
from tests.policy.cases import cases

_REQUESTS = [
    "GET\nmodels.example.com\n/v1/models?x=1\nauthorization: Bearer x\nx-request-id: 1\nx-forwarded-proto: https",
    "POST\n[::1]:8080\n/a%20b/%C3%A9\nx_tidegate_subject: a\ndpop: x\nx-forwarded-for: 192.0.2.1, 192.0.2.2",
    "GET\nx:80\n/a/../b;c//%2f\nAuthorization: a\nauthorization: b\nx-envoy-auth-partial-body: true",
]
_PATHS = ["/v1/chat", "/a%20b", "/%C3%A9/", "/a/../b", "/a//b", "/%2e%2e/", "/a;b", "/%00", "x.example:80", "[::1]:80"]
_FORWARDED = [
    'By=spiffe://a.example/b;Hash=aa;Subject="/C=US/CN=x";URI=spiffe://a.example/c',
    'URI=a,URI="b;,c\\"d";DNS=x',
    'Cert="-----BEGIN%20CERTIFICATE-----%0A";Chain="x"',
]
_JSON = ['{"a":1,"a":1}', '{"a":[1,{"b":null}],"c":"\\u00e9"}', '{"a":-0.0,"b":1e5}', "[[[[[[[[1]]]]]]]]", "NaN"]


def _tokens() -> list[str]:
    return sorted(text for text in targets.known_tokens() if len(text) < 4096)


def _proofs() -> list[str]:
    return sorted(text for text in targets.known_proofs() if len(text) < 4096)


def _signed() -> list[str]:
    """Claims and headers of the cases, as they stand between the dots."""
    parts = [text.split(".") for text in _tokens()]
    texts = [decode(payload) for _, payload, *_ in filter(_readable, parts)]
    return [text.decode("utf-8", "surrogateescape") for text in texts[:150]]


def _readable(parts: list[str]) -> bool:
    with contextlib.suppress(TokenRejected):
        return len(parts) == 3 and bool(decode(parts[1]))
    return False


def _policies() -> list[str]:
    return [str(case["document"]) for name in ("policy_valid.yaml", "policy_errors.yaml") for case in cases(name)]


_SEEDS: dict[str, Callable[[], list[str]]] = {
    "token": _tokens,
    "signed": lambda: [*_signed(), '\0{"alg":"ES256","kid":"ec","typ":"at+jwt"}', '\0{"alg":"ES256","crit":["x"]}'],
    "proof": _proofs,
    "request": lambda: _REQUESTS,
    "path": lambda: _PATHS,
    "forwarded": lambda: _FORWARDED,
    "policy": _policies,
    "strict_json": lambda: [*_JSON, forge.compact(forge.good_claims()).decode()],
}


def seeds(target: str) -> list[bytes]:
    """The seeds of a target."""
    return [text.encode("utf-8", "surrogateescape") for text in _SEEDS[target]()]
