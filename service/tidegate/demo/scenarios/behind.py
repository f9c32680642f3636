"""What the model behind the gate gets to see, and what happens when the policy service is gone."""

from __future__ import annotations

import httpx

from tidegate.demo.scenarios.scenario import (
    CHAT,
    SENTIMENT,
    Outcome,
    Scenario,
    Stage,
    bearer,
    chat_body,
    judged,
    summary,
)
from tidegate.demo.tokens import claims_for

BEHIND = "what does the model see?"
MODELS = "/v1/models"
MARK = "x-demo-mark"
OUTAGE = "and without an answer?"
SPOOFED = {"x-tidegate-subject": "root", "x-tidegate-tenant": "beta", "x-tidegate-roles": "admin"}


def seen_headers(stage: Stage) -> dict[str, str]:
    """The headers of the last request that reached the model, as the model tells when it is asked directly."""
    pairs = stage.model.get("/debug/last-headers").json()["headers"]
    return dict(pairs)


def spoofed_identity(stage: Stage) -> Outcome:
    """Whatever identity headers a client sends, the model sees the true ones or none."""
    response = stage.gate.post(SENTIMENT, json={"text": "Hi."}, headers={**stage.key("paul"), **SPOOFED})
    seen = {name: value for name, value in seen_headers(stage).items() if name.startswith("x-tidegate-")}
    kept = [name for name, value in SPOOFED.items() if seen.get(name) == value]
    ok = response.status_code == 200 and not kept and seen.get("x-tidegate-subject", "paul") == "paul"
    told = ", ".join(f"{name.removeprefix('x-tidegate-')}={value}" for name, value in sorted(seen.items()))
    return Outcome(ok, f"{summary(response)}; the model saw {told or 'no identity'}")


def underscored_identity(stage: Stage) -> Outcome:
    """WSGI and CGI read `x_tidegate_subject` and `x-tidegate-subject` as one: the edge refuses the first.

    To Envoy that is a broken message: it closes the connection, with a 400 when that gets out first.
    """
    marked = {**stage.key("paul"), "x_tidegate_subject": "root", MARK: "underscored"}
    try:
        response = stage.gate.get(MODELS, headers=marked)
    except (httpx.RemoteProtocolError, httpx.ReadError):
        refused, got = True, "connection closed"
    else:
        refused, got = response.status_code == httpx.codes.BAD_REQUEST, summary(response)
    seen = MARK in seen_headers(stage)
    return Outcome(refused and not seen, f"{got}; the model saw {'the request' if seen else 'nothing'}")


def credentials_kept(stage: Stage) -> Outcome:
    """Neither kind of credential may reach the model, under any header."""
    token = stage.signer.sign(claims_for("ada", tenant="acme", tier="premium"))
    found = []
    for kind, credential in (("API key", stage.keys["paul"]), ("JWT", token)):
        stage.gate.post(CHAT, json=chat_body(), headers=bearer(credential)).raise_for_status()
        seen = seen_headers(stage)
        if "authorization" in seen or any(credential in value for value in seen.values()):
            found.append(kind)
    return Outcome(not found, f"the model saw: {', '.join(found) or 'neither API key nor JWT'}")


def policy_down(stage: Stage) -> Outcome:
    """Played last: with nobody to ask, the answer is no."""
    stage.stop_policy()
    return judged(
        stage.gate.post(SENTIMENT, json={"text": "Hi."}, headers=stage.key("paul")), 503, "policy_unavailable"
    )


SCENARIOS = (
    Scenario(BEHIND, "a client sends x-tidegate-subject", "the true identity, or none", spoofed_identity),
    Scenario(BEHIND, "a client sends x_tidegate_subject", "refused at the edge", underscored_identity),
    Scenario(BEHIND, "credentials on the way to the model", "removed", credentials_kept),
)
LAST = (Scenario(OUTAGE, "the policy service is stopped", "503, never open", policy_down),)
