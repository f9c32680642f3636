"""Who is this, and may they: credentials good and bad, tiers, tenants and paths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tidegate.demo.scenarios.scenario import CHAT, SENTIMENT, Outcome, Scenario, Stage, bearer, chat_body, judged
from tidegate.demo.tokens import Signer, claims_for, unsigned

WHO = "who is this?"
MAY = "may they?"

Forge = Callable[[Signer, dict[str, Any]], str]


def no_credential(stage: Stage) -> Outcome:
    """The answer must also say how to authenticate."""
    response = stage.gate.post(CHAT, json=chat_body())
    outcome = judged(response, 401, "credential_missing")
    challenge = response.headers.get("www-authenticate", "")
    return Outcome(outcome.ok and challenge.startswith("Bearer"), f"{outcome.got}, challenge: {challenge or 'none'}")


def unknown_key(stage: Stage) -> Outcome:
    """A key of the right form that was never issued: the secret of a real one, changed."""
    key = stage.keys["paul"]
    changed = key[:-1] + ("A" if key[-1] != "A" else "B")
    return judged(stage.gate.post(CHAT, json=chat_body(), headers=bearer(changed)), 401, "credential_invalid")


def token(forge: Forge, lifetime: float = 3600, code: str = "credential_invalid") -> Callable[[Stage], Outcome]:
    """An attempt with a token that `forge` makes and that must be refused with `code`."""

    def attempt(stage: Stage) -> Outcome:
        claims = claims_for("mallory", tenant="acme", tier="premium", lifetime=lifetime)
        response = stage.gate.post(CHAT, json=chat_body(), headers=bearer(forge(stage.signer, claims)))
        return judged(response, 401, code)

    return attempt


def valid_token(stage: Stage) -> Outcome:
    """The control: what the forged ones would be if they were right."""
    credential = stage.signer.sign(claims_for("ada", tenant="acme", tier="premium"))
    return judged(stage.gate.post(CHAT, json=chat_body(), headers=bearer(credential)), 200)


def with_key(subject: str, model: str, status: int, code: str = "") -> Callable[[Stage], Outcome]:
    """A chat request of a key's holder for a model."""

    def attempt(stage: Stage) -> Outcome:
        return judged(stage.gate.post(CHAT, json=chat_body(model), headers=stage.key(subject)), status, code)

    return attempt


def own_endpoint(stage: Stage) -> Outcome:
    """The control for the row before it: the same key, at its own tenant's endpoint."""
    return judged(stage.gate.post(SENTIMENT, json={"text": "Nice."}, headers=stage.key("bert")), 200)


def at(method: str, path: str, status: int, code: str) -> Callable[[Stage], Outcome]:
    """A request with a good credential to somewhere that the policy does not open."""

    def attempt(stage: Stage) -> Outcome:
        return judged(stage.gate.request(method, path, headers=stage.key("paul")), status, code)

    return attempt


def _forged(signer: Signer, claims: dict[str, Any]) -> str:
    return Signer.generate(signer.kid).sign(claims)


def _unsigned(signer: Signer, claims: dict[str, Any]) -> str:
    return unsigned(claims, signer.kid)


SCENARIOS = (
    Scenario(WHO, "no credential", "401 and a challenge", no_credential),
    Scenario(WHO, "API key with a changed secret", "401", unknown_key),
    Scenario(WHO, "JWT signed by somebody else", "401", token(_forged)),
    Scenario(WHO, "JWT that expired an hour ago", "401", token(Signer.sign, -3600, "credential_expired")),
    Scenario(WHO, "JWT with alg: none", "401", token(_unsigned)),
    Scenario(WHO, "JWT signed HS256 with our public key", "401", token(Signer.sign_with_public_key)),
    Scenario(WHO, "valid JWT", "200", valid_token),
    Scenario(WHO, "valid API key", "200", with_key("paul", "large", 200)),
    Scenario(MAY, "free tier asks for the large model", "403", with_key("frida", "large", 403, "model_not_allowed")),
    Scenario(MAY, "tenant beta calls acme's chat", "403", with_key("bert", "small", 403, "access_denied")),
    Scenario(MAY, "tenant beta calls its own endpoint", "200", own_endpoint),
    Scenario(MAY, "a path that no endpoint claims", "404", at("GET", "/admin", 404, "endpoint_unknown")),
    Scenario(MAY, "the model's own debug page", "404", at("GET", "/debug/last-headers", 404, "endpoint_unknown")),
    Scenario(MAY, "GET where only POST is open", "405", at("GET", CHAT, 405, "method_not_allowed")),
)
