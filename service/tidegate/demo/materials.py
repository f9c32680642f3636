"""What a run needs and no repository may hold: a pepper, API keys, a signing key. Made fresh, beside a policy copy.

`python -m tidegate.demo.materials DIRECTORY` does it for docker-compose and prints the credentials, once.
"""

from __future__ import annotations

import argparse
import json
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import yaml

from tidegate.demo.tokens import Signer, claims_for
from tidegate.identity.api_key import mint_key

TOKEN_LIFETIME = 12 * 3600


@dataclass(frozen=True, slots=True)
class Caller:
    """One person with an API key; each has limits of their own, so the rows of the table do not disturb each other."""

    subject: str
    tenant: str
    tier: str


CALLERS = (
    Caller("frida", "acme", "free"),
    Caller("paul", "acme", "premium"),
    Caller("bert", "beta", "premium"),
    Caller("hasty", "acme", "free"),
    Caller("crowd", "acme", "free"),
    Caller("thrifty", "acme", "premium"),
    Caller("bulk", "acme", "premium"),
    Caller("ops", "acme", "internal"),
)


@dataclass(frozen=True, slots=True)
class Materials:
    """The files of one run, and the credentials that open it. `keys` maps a caller's subject to the full API key."""

    policy: Path
    pepper: Path
    keys: Mapping[str, str]
    signer: Signer

    def token(self, subject: str = "ada", *, tenant: str = "acme", tier: str = "premium") -> str:
        """A valid token of the demo's identity provider."""
        return self.signer.sign(claims_for(subject, tenant=tenant, tier=tier, lifetime=TOKEN_LIFETIME))


def make_materials(directory: Path, policy: Path | None = None) -> Materials:
    """Write policy, keys, key set and pepper into `directory`; `policy` is the one to copy, the demo's by default."""
    copy = directory / "policy.yaml"
    copy_policy(copy, policy)
    pepper = secrets.token_hex(32)
    pepper_file = directory / "pepper"
    _write_secret(pepper_file, pepper)
    keys: dict[str, str] = {}
    rows = []
    for caller in CALLERS:
        keys[caller.subject], key_id, digest = mint_key(pepper.encode())
        rows.append(
            {
                "id": key_id,
                "hash": digest,
                "subject": caller.subject,
                "tenant": caller.tenant,
                "tier": caller.tier,
                "roles": ["analyst"],
                "scopes": [],
            }
        )
    _write_secret(directory / "keys.yaml", yaml.safe_dump({"version": 1, "keys": rows}, sort_keys=False))
    signer = Signer.generate("demo-1")
    (directory / "jwks.json").write_text(json.dumps(signer.jwks(), indent=2), "utf-8")
    return Materials(copy, pepper_file, keys, signer)


def copy_policy(target: Path, policy: Path | None = None) -> None:
    """Put `policy`, or the demo's, where the files that it names will be."""
    with as_file(files("tidegate.demo").joinpath("policy.yaml")) as packaged:
        shutil.copyfile(policy or packaged, target)


def curl_lines(base: str, materials: Materials) -> str:
    """Commands to paste, with working credentials."""
    premium, free, token = materials.keys["paul"], materials.keys["frida"], materials.token()
    chat = '{"model": "small", "stream": true, "messages": [{"role": "user", "content": "Who is Ada?"}]}'
    return "\n".join(
        (
            "# a stream, filtered while it runs (API key, premium tier)",
            f"curl -N {base}/v1/chat/completions -H 'authorization: Bearer {premium}' \\\n"
            f"  -H 'content-type: application/json' -d '{chat}'",
            "# a sentiment score (JWT)",
            f"curl {base}/api/sentiment -H 'authorization: Bearer {token}' \\\n"
            "  -H 'content-type: application/json' -d '{\"text\": \"Ada loves it, write to ada@example.com\"}'",
            "# the free tier: 20 a minute, and not the large model",
            f"curl -i {base}/v1/chat/completions -H 'authorization: Bearer {free}' \\\n"
            f"  -H 'content-type: application/json' -d '{chat.replace('small', 'large')}'",
        )
    )


def _write_secret(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, "utf-8")


def main() -> None:
    """Make materials once; a later run only brings the policy up to date."""
    parser = argparse.ArgumentParser(description="make the demo's keys beside a copy of its policy")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--policy", type=Path, help="the policy to copy (default: the demo's own)")
    parser.add_argument("--base", default="http://127.0.0.1:8080", help="where clients reach the gate")
    options = parser.parse_args()
    if (options.directory / "keys.yaml").exists():
        copy_policy(options.directory / "policy.yaml", options.policy)
        print("keys exist already; `docker compose down --volumes` makes the next start mint new ones")
        return
    options.directory.mkdir(parents=True, exist_ok=True)
    print(curl_lines(options.base, make_materials(options.directory, options.policy)))


if __name__ == "__main__":
    main()
