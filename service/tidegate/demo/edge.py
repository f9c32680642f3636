"""Envoy's side of the demo: the committed envoy.yaml, written for docker-compose, and the same file on loopback.

The file is what this prints, and a test holds it to that (DIR is what `python -m tidegate.demo.materials DIR` made):
`tidegate envoy-config --policy DIR/policy.yaml --listen 0.0.0.0:8080 --tidegate tidegate-1:9401,tidegate-2:9401
--upstream model:8000`. After a change of the generator or the policy, `python -m tests.demo.envoy_yaml` writes it anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import yaml

Place = tuple[str, int]

LISTEN: Place = ("0.0.0.0", 8080)  # noqa: S104 - inside a container; compose publishes it on loopback only
ADMIN: Place = ("127.0.0.1", 9901)
WORKERS: tuple[Place, ...] = (("tidegate-1", 9401), ("tidegate-2", 9401))
MODEL: Place = ("model", 8000)


def committed_bootstrap() -> str:
    """The file that docker-compose mounts."""
    return files("tidegate.demo").joinpath("envoy.yaml").read_text("utf-8")


def local_bootstrap(*, listen: int, admin: int, workers: tuple[int, ...], model: int) -> str:
    """The committed file with nothing changed but addresses: everything on loopback, on these ports."""
    moved: dict[Place, Place | None] = {
        LISTEN: ("127.0.0.1", listen),
        ADMIN: ("127.0.0.1", admin),
        MODEL: ("127.0.0.1", model),
    }
    for index, worker in enumerate(WORKERS):
        moved[worker] = ("127.0.0.1", workers[index]) if index < len(workers) else None
    return readdress(committed_bootstrap(), moved)


def readdress(bootstrap: str, moved: Mapping[Place, Place | None]) -> str:
    """`bootstrap` with every socket address moved; None removes an upstream. A KeyError names an unknown address."""
    return yaml.safe_dump(_walk(yaml.safe_load(bootstrap), moved), sort_keys=False)


def _walk(node: Any, moved: Mapping[Place, Place | None]) -> Any:
    if isinstance(node, list):
        return [_walk(item, moved) for item in node if not _removed(item, moved)]
    if not isinstance(node, dict):
        return node
    if "socket_address" in node:
        place = moved[_place(node)]
        if place is None:
            raise ValueError(f"{_place(node)} is not one of several upstreams and cannot be removed")
        return {"socket_address": {**node["socket_address"], "address": place[0], "port_value": place[1]}}
    return {key: _walk(value, moved) for key, value in node.items()}


def _place(node: dict[str, Any]) -> Place:
    address = node["socket_address"]
    return address["address"], address["port_value"]


def _removed(item: Any, moved: Mapping[Place, Place | None]) -> bool:
    if not (isinstance(item, dict) and isinstance(item.get("endpoint"), dict)):
        return False
    return moved[_place(item["endpoint"]["address"])] is None
