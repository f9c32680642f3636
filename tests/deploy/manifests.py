"""The files under service/deploy as documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "service" / "deploy"
BASE = DEPLOY / "kubernetes" / "base"

Document = dict[str, Any]


def documents(path: Path) -> list[Document]:
    """What a file holds, document by document."""
    return [document for document in yaml.safe_load_all(path.read_text()) if document is not None]


def the(kind: str, name: str, *paths: Path) -> Document:
    """The one document of a kind and name."""
    found = [
        one for path in paths for one in documents(path) if one["kind"] == kind and one["metadata"]["name"] == name
    ]
    assert len(found) == 1, (kind, name)
    return found[0]


def environment(deployment: Document) -> dict[str, Any]:
    """The variables of the service's container: a value, or where it comes from."""
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}
