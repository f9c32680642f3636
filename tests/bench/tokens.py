"""Signed tokens: how much more than its signature a new one costs, and a Check with a known one beside an API key's.

Both sides of a ratio take turns, so that whatever else the machine does falls on both; medians of a batch, and of the
batches the best, since what others do on the machine costs Python more than OpenSSL. The bare call is cryptography's,
with key, padding, hash, message and signature at hand. What stands beside it in a verification is reading the token
strictly, judging its claims, making the identity of them, and remembering it: some 7 µs of Python where the bare call
takes 15, so that the ratio says as much of the processor's RSA as of us.
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path

import grpc
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from envoy.service.auth.v3 import external_auth_pb2
from jose import jwt
from tidegate.clock import SystemClock
from tidegate.identity import BearerVerifier, KeySets
from tidegate.model import Identity
from tidegate.policy.compiled_identity import ClaimMap, Issuer

from tests.bench import world as bench

CALLS = 4000
ROUNDS = 7
_BATCH = 50
_ISSUER = "https://id.example.com/"
_KEYS = "    api_keys: {header: authorization, file: keys.yaml}\n"
_POLICY = bench.POLICY.replace(
    _KEYS,
    f"""{_KEYS}\
    issuers: [{{name: corp, issuer: "{_ISSUER}", audiences: [models], jwks_file: jwks.json,
               claims: {{tenant: org, tier: plan, roles: roles}}}}]
""",
)


class Signer:
    """An issuer's RSA key of 2048 bits."""

    def __init__(self) -> None:
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.public = self.private.public_key()
        numbers = self.public.public_numbers()
        n, e = (_b64(value.to_bytes((value.bit_length() + 7) // 8, "big")) for value in (numbers.n, numbers.e))
        self.jwk = {"kty": "RSA", "kid": "one", "alg": "RS256", "use": "sig", "n": n, "e": e}

    def token(self, number: int) -> str:
        """A token such as identity providers give out."""
        now = int(time.time())
        claims = {
            "iss": _ISSUER, "aud": "models", "sub": "ada", "iat": now, "exp": now + 3600, "jti": f"token-{number}",
            "client_id": "app", "scope": "chat read", "org": "acme", "plan": "premium", "roles": ["analyst"],
        }  # fmt: skip
        signed = ".".join(
            _b64(json.dumps(part, separators=(",", ":")).encode())
            for part in ({"alg": "RS256", "kid": "one", "typ": "at+jwt"}, claims)
        )
        signature = self.private.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_b64(signature)}"


def measure(directory: Path, *, quick: bool = False) -> dict[str, float]:
    """The ratio of a cold verification to the bare call and to python-jose's, and of a cached Check to an API key's."""
    signer = Signer()
    cold = asyncio.run(_cold(signer, 200 if quick else 2000))
    return cold | _cached(directory, signer, quick=quick)


async def _cold(signer: Signer, count: int) -> dict[str, float]:
    clock = SystemClock()
    claims = ClaimMap(tenant=("org",), tier=("plan",), roles=("roles",))
    issuers = (Issuer("corp", _ISSUER, ("models",), ("RS256",), jwks=(signer.jwk,), claims=claims),)
    verifier = BearerVerifier(clock=clock, key_sets=KeySets(clock=clock))
    tokens = [signer.token(number) for number in range(count + 1)]
    signed = [token.rpartition(".") for token in tokens]
    parts = [(text.encode(), urlsafe_b64decode(signature + "==")) for text, _, signature in signed]
    scheme, digest, timer = padding.PKCS1v15(), hashes.SHA256(), time.perf_counter
    took: list[tuple[float, float]] = []
    await verifier.verify(tokens[-1], issuers, policy_version="bench")
    gc.collect()
    gc.freeze()  # as the service does
    gc.set_threshold(20_000, 20, 20)
    for token, (text, signature) in zip(tokens[:-1], parts[:-1], strict=True):
        begun = timer()
        signer.public.verify(signature, text, scheme, digest)
        bare = timer()
        verdict = await verifier.verify(token, issuers, policy_version="bench")
        took.append((bare - begun, timer() - bare))
        if not isinstance(verdict, Identity):
            raise RuntimeError(f"the measured token is refused: {verdict}")
    by_jose: list[float] = []
    for token in tokens:
        begun = timer()
        jwt.decode(token, signer.jwk, algorithms=["RS256"], audience="models", issuer=_ISSUER)
        by_jose.append(timer() - begun)
    gc.unfreeze()
    batches = [_medians(took[start : start + _BATCH]) for start in range(0, count, _BATCH)]
    bare, ours = min(batches, key=lambda batch: batch[1] / batch[0])
    return {
        "jwt_bare_us": round(bare * 1e6, 1),
        "jwt_cold_ratio": round(ours / bare, 2),
        "jwt_jose_ratio": round(statistics.median(by_jose) / bare, 2),
    }


def _medians(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    bare, ours = zip(*pairs, strict=True)
    return statistics.median(bare), statistics.median(ours)


def _cached(directory: Path, signer: Signer, *, quick: bool) -> dict[str, float]:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "jwks.json").write_text(json.dumps({"keys": [signer.jwk]}))
    world = bench.build(directory, _POLICY)
    calls, rounds = (200, 1) if quick else (CALLS, ROUNDS)
    payloads = {"key": world.check_request(), "jwt": world.check_request(credential=signer.token(0))}
    rates: dict[str, list[float]] = {name: [] for name in payloads}
    with bench.tidegate(world) as (target,):
        for payload in payloads.values():
            _must_allow(target, payload)
            bench.load(target, payload, calls=calls // 4)
        for _ in range(rounds):
            for name, payload in payloads.items():
                run = bench.load(target, payload, calls=calls)
                rates[name].append(run["calls"] / run["wall"])
    return {"check_jwt_ratio": round(statistics.median(rates["jwt"]) / statistics.median(rates["key"]), 3)}


def _must_allow(target: str, payload: bytes) -> None:
    with grpc.insecure_channel(target) as channel:
        answer = external_auth_pb2.CheckResponse.FromString(channel.unary_unary(bench.CHECK)(payload, timeout=5))
    if answer.status.code != 0 or answer.dynamic_metadata.fields["subject"].string_value != "ada":
        raise RuntimeError(f"the measured Check does not let pass: {answer}")


def _b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
