"""The Kustomize base without a cluster: valid by the published schemas, whole, hardened, and it starts the service."""

from __future__ import annotations

import copy
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer
from pydantic import ValidationError
from tidegate.cli import app
from tidegate.demo.redis_server import free_port, running_redis
from tidegate.demo.stack import serving
from typer.testing import CliRunner

from tests.deploy.kinds import Kustomization, ServiceMonitor
from tests.deploy.manifests import BASE, ROOT, Document, documents, environment, the

FILES = sorted(path for path in BASE.glob("*.yaml") if path.name not in ("kustomization.yaml", "policy.yaml"))
CASES = [(path, document) for path in FILES for document in documents(path)]
BUILT_IN = [(path, document) for path, document in CASES if document["kind"] != "ServiceMonitor"]
VERSIONS = ("1.31", "1.37")
KUSTOMIZATION = documents(BASE / "kustomization.yaml")[0]
DEPLOYMENT = the("Deployment", "tidegate", *FILES)
POD = DEPLOYMENT["spec"]["template"]["spec"]
CONTAINER = POD["containers"][0]
ENVIRONMENT = environment(DEPLOYMENT)
LABELS = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
SERVICE = the("Service", "tidegate", *FILES)
NETWORK = the("NetworkPolicy", "tidegate", *FILES)["spec"]


def flags_of_serve() -> dict[str, str]:
    command = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    return {str(flag.envvar): flag.opts[0] for flag in command.params if flag.envvar}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("path", "document"), BUILT_IN, ids=lambda value: getattr(value, "name", None))
def test_every_kind_is_valid_by_its_published_schema(path: Path, document: Document, version: str) -> None:
    assert kubernetes_validate.validate(document, version, strict=True) == version


@pytest.mark.parametrize(
    "damage",
    [
        lambda pod: pod["containers"][0].update(enviroment=[]),
        lambda pod: pod["containers"][0]["ports"][0].update(containerPort="9401"),
        lambda pod: pod["securityContext"].update(runAsNonRoot="true"),
        lambda pod: pod["containers"][0].pop("name"),
    ],
)
def test_the_schemas_refuse_what_is_misspelt_or_of_another_type(damage: Callable[[Any], None]) -> None:
    document = copy.deepcopy(DEPLOYMENT)
    damage(document["spec"]["template"]["spec"])
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, VERSIONS[-1], strict=True)


def test_the_kustomization_names_every_file_and_no_other() -> None:
    kustomization = Kustomization.model_validate(KUSTOMIZATION)
    assert sorted(kustomization.resources) == [path.name for path in FILES]
    (made,) = kustomization.config_map_generator
    assert all((BASE / name).is_file() for name in made.files)
    assert [image.name for image in kustomization.images] == [CONTAINER["image"]]


def test_what_no_package_has_a_schema_for_is_modelled_strictly() -> None:
    monitor = the("ServiceMonitor", "tidegate", *FILES)
    ServiceMonitor.model_validate(monitor)
    with pytest.raises(ValidationError, match="Extra inputs"):
        ServiceMonitor.model_validate(monitor | {"spec": monitor["spec"] | {"selectors": {}}})


def test_every_variable_is_one_of_serve() -> None:
    assert set(ENVIRONMENT) <= set(flags_of_serve())
    shown = re.sub(r"\s+", " ", CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200"}).output)
    assert all(f"env var: {name};" in shown or f"env var: {name}]" in shown for name in ENVIRONMENT)


def test_the_sample_policy_is_sound_and_is_where_the_service_looks_for_it() -> None:
    result = CliRunner().invoke(app, ["policy", "check", str(BASE / "policy.yaml")])
    assert result.exit_code == 0, result.output
    (made,) = KUSTOMIZATION["configMapGenerator"]
    assert volume("policy")["configMap"]["name"] == made["name"]
    assert ENVIRONMENT["TIDEGATE_POLICY"] == f"{mount('policy')}/{made['files'][0]}"


def volume(name: str) -> Document:
    (found,) = [one for one in POD["volumes"] if one["name"] == name]
    return dict(found)


def mount(name: str) -> str:
    (found,) = [one for one in CONTAINER["volumeMounts"] if one["name"] == name]
    return str(found["mountPath"])


def test_secrets_are_referenced_and_none_is_here() -> None:
    assert "Secret" not in {document["kind"] for _, document in CASES}
    assert ENVIRONMENT["TIDEGATE_STORE"] == {"secretKeyRef": {"name": "tidegate-store", "key": "url"}}
    pepper = volume("pepper")["secret"]
    assert ENVIRONMENT["TIDEGATE_KEY_PEPPER_FILE"] == f"{mount('pepper')}/{pepper['items'][0]['path']}"
    for secret in ("tidegate-store", pepper["secretName"]):
        assert secret in (ROOT / "docs" / "deploy.md").read_text()
    for path in FILES:
        assert not re.search(r"password|redis://", path.read_text(), re.IGNORECASE), path


def test_the_pod_may_nothing_that_it_does_not_need() -> None:
    namespace = the("Namespace", KUSTOMIZATION["namespace"], *FILES)
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    whole, own = POD["securityContext"], CONTAINER["securityContext"]
    assert whole["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    user = f"{whole['runAsUser']}:{whole['runAsGroup']}"
    assert whole["runAsNonRoot"] is True
    assert f"USER {user}" in (ROOT / "service" / "Dockerfile").read_text()
    account = the("ServiceAccount", POD["serviceAccountName"], *FILES)
    assert POD["automountServiceAccountToken"] is account["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(POD)
    assert not any("hostPath" in one for one in POD["volumes"])
    writable = {one["name"] for one in CONTAINER["volumeMounts"] if not one.get("readOnly")}
    assert writable == {"tmp"}


def test_one_worker_a_pod_and_nobody_lacks_a_pod_while_they_are_replaced() -> None:
    assert ENVIRONMENT["TIDEGATE_WORKERS"] == "1"
    assert DEPLOYMENT["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    autoscaler = the("HorizontalPodAutoscaler", "tidegate", *FILES)["spec"]
    assert autoscaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "tidegate"}
    assert "replicas" not in DEPLOYMENT["spec"]
    assert int(ENVIRONMENT["TIDEGATE_REPLICAS"]) == autoscaler["maxReplicas"]
    assert the("PodDisruptionBudget", "tidegate", *FILES)["spec"]["maxUnavailable"] < autoscaler["minReplicas"]
    assert {one["topologyKey"] for one in POD["topologySpreadConstraints"]} == {
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    }


def test_a_pod_is_given_the_time_that_its_drain_takes() -> None:
    drains = float(ENVIRONMENT["TIDEGATE_HEALTH_GRACE"]) + float(ENVIRONMENT["TIDEGATE_DRAIN"])
    assert POD["terminationGracePeriodSeconds"] >= drains + 5
    assert "lifecycle" not in CONTAINER  # SIGTERM begins it, and a hook would take of the same time
    ready = CONTAINER["readinessProbe"]
    assert float(ENVIRONMENT["TIDEGATE_HEALTH_GRACE"]) > ready["periodSeconds"] * ready["failureThreshold"]


def test_an_old_pod_stays_until_every_envoy_knows_the_new_one() -> None:
    dns_refresh, dns_ttl = 5, 5  # Envoy's default for STRICT_DNS; CoreDNS' for services of the cluster
    assert DEPLOYMENT["spec"]["minReadySeconds"] >= dns_refresh + dns_ttl
    assert DEPLOYMENT["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


def test_health_is_asked_over_grpc_where_the_service_listens() -> None:
    ports = {one["name"]: one["containerPort"] for one in CONTAINER["ports"]}
    assert ENVIRONMENT["TIDEGATE_LISTEN"] == f"0.0.0.0:{ports['grpc']}"
    assert ENVIRONMENT["TIDEGATE_METRICS"] == f"0.0.0.0:{ports['http-metrics']}"
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert CONTAINER[probe]["grpc"] == {"port": ports["grpc"]}


def test_every_selector_means_these_pods_or_this_service() -> None:
    budget = the("PodDisruptionBudget", "tidegate", *FILES)["spec"]["selector"]
    spread = [one["labelSelector"] for one in POD["topologySpreadConstraints"]]
    for selector in (DEPLOYMENT["spec"]["selector"], budget, NETWORK["podSelector"], *spread):
        assert selector["matchLabels"].items() <= LABELS.items()
    assert SERVICE["spec"]["selector"].items() <= LABELS.items()
    assert SERVICE["spec"]["clusterIP"] == "None"
    names = {one["name"] for one in CONTAINER["ports"]}
    assert {one["targetPort"] for one in SERVICE["spec"]["ports"]} <= names
    monitor = the("ServiceMonitor", "tidegate", *FILES)["spec"]
    assert monitor["selector"]["matchLabels"].items() <= SERVICE["metadata"]["labels"].items()
    assert {one["port"] for one in monitor["endpoints"]} <= {one["name"] for one in SERVICE["spec"]["ports"]}


def test_only_envoys_pods_reach_grpc_and_only_monitoring_the_metrics() -> None:
    assert NETWORK["policyTypes"] == ["Ingress", "Egress"]
    calls, scrapes = NETWORK["ingress"]
    assert [one["port"] for one in calls["ports"]] == [9401]
    assert [one["port"] for one in scrapes["ports"]] == [9501]
    (envoy,) = calls["from"]
    assert set(envoy) == {"namespaceSelector", "podSelector"}
    assert all(envoy.values())  # an empty selector would mean everybody
    assert scrapes["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]


def test_what_may_be_called_is_dns_redis_a_collector_and_https_but_no_cloud_metadata() -> None:
    ports = [[(one["protocol"], one["port"]) for one in rule["ports"]] for rule in NETWORK["egress"]]
    assert ports == [[("UDP", 53), ("TCP", 53)], [("TCP", 6379)], [("TCP", 4317)], [("TCP", 443)]]
    for rule in NETWORK["egress"][:3]:
        assert all(to["podSelector"] for to in rule["to"])  # without one it would be every pod of the cluster
    blocks = {to["ipBlock"]["cidr"]: to["ipBlock"]["except"] for to in NETWORK["egress"][3]["to"]}
    assert blocks == {"0.0.0.0/0": ["169.254.0.0/16"], "::/0": ["fe80::/10", "fd00:ec2::/32"]}


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    with running_redis(directory=tmp_path) as url:
        yield url


def test_the_container_starts_with_this_environment_and_drains_in_its_time(tmp_path: Path, redis_url: str) -> None:
    """Mounts are folders here, as the kubelet lays them out, and addresses are on loopback; the rest is the file's."""
    (tmp_path / "policy" / "..1").mkdir(parents=True)
    (tmp_path / "policy" / "..1" / "policy.yaml").write_text((BASE / "policy.yaml").read_text())
    (tmp_path / "policy" / "..data").symlink_to("..1")
    (tmp_path / "policy" / "policy.yaml").symlink_to("..data/policy.yaml")
    (tmp_path / "pepper").mkdir()
    (tmp_path / "pepper" / "pepper").write_bytes(os.urandom(32).hex().encode())
    listen = f"127.0.0.1:{free_port()}"
    given = {name: value for name, value in ENVIRONMENT.items() if isinstance(value, str)} | {
        "TIDEGATE_STORE": redis_url,
        "TIDEGATE_LISTEN": listen,
        "TIDEGATE_METRICS": f"127.0.0.1:{free_port()}",
        "TIDEGATE_HEALTH_GRACE": "0.1",
    }
    for name in ("policy", "pepper"):
        given = {key: value.replace(mount(name), str(tmp_path / name)) for key, value in given.items()}
    clean = {key: value for key, value in os.environ.items() if not key.startswith("TIDEGATE_")}
    command = [sys.executable, "-m", "tidegate", *CONTAINER["args"]]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, env=clean | given, stderr=log) as process:
        try:
            while not serving(listen):
                assert process.poll() is None, (tmp_path / "log").read_text()
            with socket.create_connection(("127.0.0.1", int(given["TIDEGATE_METRICS"].rpartition(":")[2]))):
                pass
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(POD["terminationGracePeriodSeconds"]) == 0, (tmp_path / "log").read_text()
