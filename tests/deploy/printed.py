"""What `tidegate envoy-config` prints for the base's policy, and Envoy's own messages to compare it in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml
from envoy.config.route.v3 import route_pb2  # noqa: F401  # registers what it holds
from envoy.extensions.filters.http.ext_authz.v3.ext_authz_pb2 import ExtAuthz
from envoy.extensions.filters.http.ext_proc.v3.ext_proc_pb2 import ExternalProcessor
from google.protobuf import json_format
from google.protobuf.message import Message
from tidegate.cli import app
from typer.testing import CliRunner

from tests.deploy.manifests import BASE, Document

AUTHZ, PROC, ROUTER = (f"envoy.filters.http.{name}" for name in ("ext_authz", "ext_proc", "router"))
KINDS: dict[str, type[Message]] = {AUTHZ: ExtAuthz, PROC: ExternalProcessor}


def printed(*flags: str) -> Document:
    """Its output as a document."""
    words = ["--policy", str(BASE / "policy.yaml"), "--upstream", "127.0.0.1:8000", "--tidegate", "127.0.0.1:9401"]
    result = CliRunner().invoke(app, ["envoy-config", *words, *flags])
    assert result.exit_code == 0, result.output
    return dict(yaml.safe_load(result.stdout))


def manager(bootstrap: Document) -> Document:
    """The connection manager of its one listener."""
    (listener,) = bootstrap["static_resources"]["listeners"]
    return dict(listener["filter_chains"][0]["filters"][0])["typed_config"]  # type: ignore[no-any-return]


def filter_of(filters: Iterable[Document], name: str) -> Document:
    """The settings of the filter with this name."""
    (found,) = [one["typed_config"] for one in filters if one["name"] == name]
    return dict(found)


def message(name: str, typed: Document) -> Any:
    """A filter's settings as Envoy reads them; what it does not know is an error."""
    bare = {key: value for key, value in typed.items() if key != "@type"}
    return json_format.ParseDict(bare, KINDS[name]())


def document(name: str, settings: Message) -> Document:
    """A filter with these settings, as a configuration has it."""
    typed = json_format.MessageToDict(settings, preserving_proto_field_name=True)
    return {"name": name, "typed_config": {"@type": f"type.googleapis.com/{settings.DESCRIPTOR.full_name}", **typed}}
