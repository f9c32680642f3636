"""The policy of these tests and the keys that open it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml
from tidegate.identity.api_key import mint_key

PEPPER = b"e2e-pepper-of-32-bytes-or-longer"

POLICY = """
version: 1
platform:
  identity:
    api_keys: {header: authorization, file: keys.yaml}
  floor: {rulesets: [secrets], unscannable: pass}
tiers:
  free: {weight: 1}
  premium: {weight: 10}
  metered:
    limits: [{name: hourly, algorithm: sliding_window, limit: 1, window: 1h, per: [subject]}]
classifications:
  restricted: {rulesets: [pii]}
rulesets:
  secrets: [{detect: [AWS_KEY], act: redact}]
  pii: [{detect: [EMAIL, CREDIT_CARD], act: redact}]
  stop: [{detect: [US_SSN], act: block}]
tenants:
  acme: {grants: [{role: analyst, endpoints: "*"}]}
  beta: {}
endpoints:
  chat:
    owner: acme
    match: {hosts: ["*"], path: /v1/chat/completions, methods: [POST]}
    model: {from: body.model, allowed: {free: [small], premium: [small, large]}}
    classification: restricted
    rulesets: [stop]
  predict:
    owner: acme
    match: {hosts: ["*"], path: "/predict/**", methods: [GET, HEAD, POST]}
    classification: restricted
    rulesets: [stop]
  narrow:
    owner: acme
    match: {hosts: ["*"], path: "/narrow/**", methods: [GET]}
    classification: restricted
    max_response: 64KiB
  chosen:
    owner: acme
    match: {hosts: ["*"], path: "/chosen/**", methods: [GET]}
    classification: restricted
    fields: {only: ["/outputs", "/choices"], skip: ["/outputs/*/name"], keys: false}
  files:
    owner: acme
    match: {hosts: ["*"], path: "/files/**", methods: [GET]}
    unscannable: pass
"""

# name → (tenant, tier, roles); "metered-N" may call once each
CALLERS = {
    "free": ("acme", "free", ["analyst"]),
    "premium": ("acme", "premium", ["analyst"]),
    "roleless": ("acme", "free", []),
    "beta": ("beta", "free", ["analyst"]),
    "officer": ("acme", "free", ["privacy"]),
    "stranger": ("beta", "free", ["privacy"]),
    "metered-1": ("acme", "metered", ["analyst"]),
    "metered-2": ("acme", "metered", ["analyst"]),
}


@dataclass(frozen=True)
class Files:
    """Where the policy lies, and the full keys by caller."""

    policy: Path
    pepper: Path
    keys: dict[str, str]


def write_files(directory: Path, policy: str = POLICY) -> Files:
    keys, entries = {}, []
    for subject, (tenant, tier, roles) in CALLERS.items():
        key, key_id, digest = mint_key(PEPPER)
        keys[subject] = key
        caller = {"subject": subject, "tenant": tenant, "tier": tier, "roles": roles, "scopes": []}
        entries.append({"id": key_id, "hash": digest, **caller})
    files = Files(directory / "policy.yaml", directory / "pepper", keys)
    files.policy.write_text(policy)
    files.pepper.write_bytes(PEPPER)
    (directory / "keys.yaml").write_text(yaml.safe_dump({"version": 1, "keys": entries}))
    return files
