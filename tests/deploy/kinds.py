"""Kinds whose schemas no package brings: the parts that our files use; anything else is an error until added here.

Written from what is published: the kustomization's reference, and the Prometheus operator's API
(monitoring.coreos.com/v1).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
Duration = Annotated[str, StringConstraints(pattern=r"^([0-9]{1,5}(h|m|s|ms)){1,4}$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Host = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
Positive = Annotated[int, Field(ge=1)]
Quantity = Annotated[str, StringConstraints(pattern=r"^[1-9]+[0-9]*([EPTGMK]i|[EPTGMk])?$")]
Percent = Annotated[int, Field(ge=0, le=100)]


class Part(BaseModel):
    """A part of a document: no key that it does not name, and no value of another type. Keys are in camel case."""

    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class Metadata(Part):
    name: Name
    namespace: Name | None = None
    labels: dict[str, str] = {}


class ConfigMapFiles(Part):
    name: Name
    files: list[str]


class Image(Part):
    name: str
    new_name: str
    new_tag: str | None = None
    digest: Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")] | None = None


class Kustomization(Part):
    api_version: Literal["kustomize.config.k8s.io/v1beta1"]
    kind: Literal["Kustomization"]
    namespace: Name
    resources: list[str]
    config_map_generator: list[ConfigMapFiles]
    images: list[Image]


class MatchLabels(Part):
    match_labels: dict[str, str]


class ScrapedEndpoint(Part):
    port: str
    path: str
    interval: Duration
    scrape_timeout: Duration


class ServiceMonitorSpec(Part):
    selector: MatchLabels
    endpoints: list[ScrapedEndpoint]


class ServiceMonitor(Part):
    api_version: Literal["monitoring.coreos.com/v1"]
    kind: Literal["ServiceMonitor"]
    metadata: Metadata
    spec: ServiceMonitorSpec
