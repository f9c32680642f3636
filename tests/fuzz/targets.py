"""What is fuzzed, each as a function of bytes that raises where a promise does not hold.

The promises are what the door and the identify phase live by: whatever the bytes are, the answer is a value or the one
exception that the function names; and what is accepted has one reading.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Coroutine
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from envoy.service.auth.v3 import external_auth_pb2
from google.protobuf.message import DecodeError
from tidegate.edge import address_of, canonical_path
from tidegate.envoy.translate_check import request_of
from tidegate.errors import PolicyError
from tidegate.identity import BearerVerifier, KeySets, certificate, xfcc
from tidegate.identity.dpop import check_proof
from tidegate.identity.token import TokenRejected, parse
from tidegate.model import Deny, Identity, Request
from tidegate.policy import parse_policy
from tidegate.policy.compiled_identity import Dpop
from tidegate.strict_json import BadJson, parse_value

from tests.identity import forge, proofs
from tests.identity.mutations import forged
from tests.identity.test_jwt_adversarial import CASES as TOKENS

Target = Callable[[bytes], None]


def token(data: bytes) -> None:
    """No text but the good ones is an identity, and none ends in an accident."""
    text = data.decode("utf-8", "surrogateescape")
    verdict = _now(_verifier().verify(text, (forge.issuer(),), policy_version="fuzz"))
    if isinstance(verdict, Identity):
        assert text in known_tokens(), "a token that nobody signed"
    else:
        assert not verdict.detail.startswith("unexpected_"), verdict.detail
    try:
        read = parse(text)
    except TokenRejected:
        return
    head, payload, signature = text.split(".")
    assert forge.b64(read.signature) == signature
    assert read.signed == f"{head}.{payload}".encode()


def signed(data: bytes) -> None:
    """Whatever an issuer signs, as claims or, behind a zero, as header: an identity with names in it, or a refusal."""
    good = {"alg": "ES256", "kid": "ec"}
    if data[:1] == b"\0":
        made = forge.token(None, data[1:], alg="ES256", key="ec")
    else:
        made = forge.token(data, good, alg="ES256", key="ec")
    verdict = _now(_verifier().verify(made, (forge.issuer(),), policy_version="fuzz"))
    if isinstance(verdict, Identity):
        names = (verdict.subject, verdict.tenant, verdict.tier, verdict.credential, *verdict.roles, *verdict.scopes)
        assert all(name.isprintable() and name.strip() == name != "" and len(name) < 256 for name in names)
        assert verdict.expires_at is not None and forge.NOW - 30 < verdict.expires_at <= forge.NOW + 86_400
    else:
        assert not verdict.detail.startswith("unexpected_"), verdict.detail


def proof(data: bytes) -> None:
    """No text but the good ones is a proof for the request."""
    text = data.decode("utf-8", "surrogateescape")
    asked = Request("1", "GET", "x", "/predict/x", scheme="http")
    bearer = _bearer()
    try:
        check_proof(text, asked, bearer, proofs.thumbprint("ecclient"), Dpop(), now=forge.NOW)
    except TokenRejected:
        return
    assert text in known_proofs(), "a proof that nobody signed"


def request(data: bytes) -> None:
    """What Envoy may say of a request: a canonical one comes of it, or a refusal."""
    call = _check_request(data)
    read = request_of(call, trusted_hops=len(data) % 3).request
    if isinstance(read, Deny):
        assert read.status == 400
        return
    _canonical(read.path)
    assert read.host == read.host.lower() != ""
    assert read.method.isascii() and read.method.isupper()
    for name, value in read.headers.items():
        assert name == name.lower()
        assert not {"\r", "\n", "\0"} & set(value)
    twice = [name for name in ("authorization", "dpop") if sum(h.key.lower() == name for h in _sent(call)) > 1]
    assert not twice


def path(data: bytes) -> None:
    """A path has one reading: encoded again it is read the same, and so is what it is read as."""
    raw = data.decode("utf-8", "surrogateescape")
    read = canonical_path(raw)
    if read is not None:
        _canonical(read)
        assert canonical_path(quote(read, safe="/")) in (read, None)
        if "%" not in raw:
            assert read == raw
    address = address_of(raw)
    if address is not None:
        assert address_of(address[0]) == (address[0], 0)


def forwarded(data: bytes) -> None:
    """X-Forwarded-Client-Cert: what the last proxy adds is all that counts, whatever stands before it."""
    text = data.decode("latin-1")
    read = xfcc.last_uris(text)
    if read is not None:
        assert xfcc.last_uris(f"{text},URI=spiffe://a.example/b") == ("spiffe://a.example/b",)
        assert xfcc.last_uris(f'{text},By=x;URI="spiffe://a.example/b"') == ("spiffe://a.example/b",)
    certificate.read(text)


def policy(data: bytes) -> None:
    """A document is a policy, or its problems are told with their lines."""
    text = data.decode("utf-8", "replace")
    try:
        made = parse_policy(text, base=_empty())
    except PolicyError as error:
        assert error.problems
        for problem in error.problems:
            assert problem.message
            assert 0 <= problem.line <= text.count("\n") + 2
        return
    assert parse_policy(text, base=_empty()).version == made.version


def strict_json(data: bytes) -> None:
    """A value, or BadJson; and no name twice, as the library that reads it sees them."""
    try:
        value = parse_value(data, max_depth=8)
    except BadJson:
        return
    pairs: list[int] = []

    def count(members: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(members)
        pairs.append(len(members) - len(made))
        return made

    assert repr(json.loads(data, object_pairs_hook=count)) == repr(value)
    assert not any(pairs)


TARGETS: dict[str, Target] = {
    "token": token,
    "signed": signed,
    "proof": proof,
    "request": request,
    "path": path,
    "forwarded": forwarded,
    "policy": policy,
    "strict_json": strict_json,
}


def _canonical(read: str) -> None:
    assert read.startswith("/")
    assert not {"", ".", ".."} & set(read.split("/")[1:-1])
    assert read.split("/")[-1] not in (".", "..")
    assert not set(read) & set("\\;?#") and not any(ord(char) < 32 or ord(char) == 127 for char in read)


def _check_request(data: bytes) -> external_auth_pb2.CheckRequest:
    """A message on the wire, or, where it is none, one of lines: method, host, path, and a header in each."""
    try:
        call = external_auth_pb2.CheckRequest.FromString(data)
        if call.attributes.request.http.method:
            return call
    except DecodeError:
        pass
    call = external_auth_pb2.CheckRequest()
    http = call.attributes.request.http
    lines = data.split(b"\n")
    texts = [line.decode("utf-8", "replace") for line in lines]
    http.method, http.host, http.path = (*texts, "", "", "")[:3]
    for line, text in zip(lines[3:], texts[3:], strict=True):
        header = http.header_map.headers.add()
        header.key, header.raw_value = text.partition(":")[0], line.partition(b":")[2]
    return call


def _sent(call: external_auth_pb2.CheckRequest) -> list[Any]:
    return list(call.attributes.request.http.header_map.headers)


@cache
def _verifier() -> BearerVerifier:
    clock = forge.FakeClock()
    return BearerVerifier(clock=clock, key_sets=KeySets(clock=clock), cache_size=0)


@cache
def known_tokens() -> frozenset[str]:
    """Those of tests/cases/jwt_adversarial.yaml, good ones among them."""
    return frozenset(forged(case) for case in TOKENS if "fields" not in case)


@cache
def known_proofs() -> frozenset[str]:
    """Those of tests/cases/dpop_adversarial.yaml; some are made for the token of `_bearer`."""
    lines = (proofs.made(case, pepper=b"fuzz").lines for case in proofs.CASES)
    return frozenset(line.partition(": ")[2] for each in lines for line in each if line.lower().startswith("dpop: "))


@cache
def _bearer() -> str:
    return proofs.made({}, pepper=b"fuzz").lines[0].rpartition(" ")[2]


@cache
def _empty() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-"))


def _now(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise AssertionError("it waits")
