"""docker-compose.yml and the Dockerfile without an engine: their structure, and that everything fits together."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer
import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from tidegate.cli import app
from tidegate.demo import edge
from tidegate.demo.materials import make_materials
from tidegate.demo.stack import find_envoy

from tests.demo import envoy_yaml

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "service" / "tidegate" / "demo"
DURATION = Annotated[str, StringConstraints(pattern=r"^(\d+(h|m|s|ms))+$")]
TAGGED = re.compile(r"^[a-z0-9./-]+:v?\d+(\.\d+)+[a-z0-9.-]*$")
OWN_IMAGES = {"tidegate", "tidegate-demo"}


class Part(BaseModel):
    """The parts of the compose specification that the file uses; anything else is a typing error until added here."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Build(Part):
    context: str
    dockerfile: str
    target: str


class Health(Part):
    test: list[str] = []
    interval: DURATION = "30s"
    timeout: DURATION = "30s"
    retries: int = 3
    disable: bool = False


class Dependency(Part):
    condition: Literal["service_started", "service_healthy", "service_completed_successfully"]


class Service(Part):
    image: str
    build: Build | None = None
    user: Annotated[str, StringConstraints(pattern=r"^\d+:\d+$")]
    command: list[str] = []
    environment: dict[str, str] = {}
    volumes: list[str] = []
    tmpfs: list[str] = []
    networks: list[str]
    ports: list[str] = []
    depends_on: dict[str, Dependency] = {}
    healthcheck: Health | None = None
    restart: Literal["no", "unless-stopped"]
    read_only: bool
    cap_drop: list[str]
    security_opt: list[str]
    stop_grace_period: DURATION = "10s"


class Network(Part):
    internal: bool = False


class Compose(Part):
    name: str
    services: dict[str, Service]
    networks: dict[str, Network]
    volumes: dict[str, dict[str, Any]]


class Stage(BaseModel):
    """One FROM of the Dockerfile: (instruction, arguments) in order."""

    base: str
    steps: list[tuple[str, str]] = Field(default_factory=list)

    def last(self, instruction: str) -> str:
        return next((rest for name, rest in reversed(self.steps) if name == instruction), "")


@pytest.fixture(scope="module")
def compose() -> Compose:
    document = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return Compose.model_validate({key: value for key, value in document.items() if not key.startswith("x-")})


@pytest.fixture(scope="module")
def stages() -> dict[str, Stage]:
    text = (ROOT / "service" / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    found: dict[str, Stage] = {}
    current: Stage | None = None
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        instruction, _, rest = line.partition(" ")
        if instruction == "FROM":
            base, _as, name = rest.split()
            current = found[name] = Stage(base=base)
        else:
            assert current is not None, line
            current.steps.append((instruction, rest.strip()))
    return found


def lineage(stages: dict[str, Stage], name: str) -> list[Stage]:
    """The stages of a container's settings: itself first, then those it is built on."""
    chain = []
    while name in stages:
        chain.append(stages[name])
        name = stages[name].base
    return chain


def inherited(stages: dict[str, Stage], name: str, instruction: str) -> str:
    return next((found for stage in lineage(stages, name) if (found := stage.last(instruction))), "")


def bind_mounts(service: Service) -> list[tuple[str, str, str]]:
    parts = [volume.split(":") for volume in service.volumes if volume.startswith(".")]
    return [(source, target, *(mode or ["rw"])) for source, target, *mode in parts]


def test_the_cast(compose):
    assert set(compose.services) == {"envoy", "tidegate-1", "tidegate-2", "redis", "model", "setup", "prometheus"}
    assert compose.services["tidegate-1"] == compose.services["tidegate-2"]


def test_only_envoy_is_published_and_only_on_loopback(compose):
    published = {name: service.ports for name, service in compose.services.items() if service.ports}
    assert published == {"envoy": ["127.0.0.1:8080:8080"]}
    assert compose.networks["inside"].internal
    outside = [name for name, service in compose.services.items() if "outside" in service.networks]
    assert outside == ["envoy"]


def test_everything_runs_hardened(compose):
    for name, service in compose.services.items():
        assert service.read_only, name
        assert service.cap_drop == ["ALL"], name
        assert service.security_opt == ["no-new-privileges:true"], name
        assert not service.user.startswith("0:"), name


def test_images_are_pinned_or_built_here(compose):
    for service in compose.services.values():
        if service.build is None:
            assert TAGGED.match(service.image), service.image
        else:
            assert service.image in OWN_IMAGES


def test_references_hold(compose, stages):
    for name, service in compose.services.items():
        assert set(service.depends_on) <= set(compose.services), name
        assert set(service.networks) <= set(compose.networks), name
        named = [v.split(":")[0] for v in service.volumes if not v.startswith(".")]
        assert set(named) <= set(compose.volumes), name
        if service.build is not None:
            assert service.build.context == "."
            assert (ROOT / service.build.dockerfile).is_file()
            assert service.build.target in stages


def test_mounted_files_are_those_of_the_demo_and_read_only(compose):
    mounted = {}
    for service in compose.services.values():
        for source, _target, mode in bind_mounts(service):
            assert (ROOT / source).is_file(), source
            assert mode == "ro", source
            mounted[(ROOT / source).resolve()] = source
    assert set(mounted) == {DEMO / "envoy.yaml", DEMO / "policy.yaml", DEMO / "prometheus.yml"}


def test_whoever_is_waited_for_can_be_healthy(compose, stages):
    for service in compose.services.values():
        for name, dependency in service.depends_on.items():
            other = compose.services[name]
            if dependency.condition == "service_healthy":
                own = other.healthcheck is not None and other.healthcheck.test
                built = other.build is not None and inherited(stages, other.build.target, "HEALTHCHECK")
                assert own or built, name
            else:
                assert other.restart == "no", name


def test_every_lasting_service_has_a_health_check(compose, stages):
    for name, service in compose.services.items():
        if service.restart != "no":
            built = service.build is not None and inherited(stages, service.build.target, "HEALTHCHECK")
            assert built or (service.healthcheck is not None and service.healthcheck.test), name


def test_only_setup_may_write_the_secrets(compose):
    modes = {
        name: volume.split(":")[2:]
        for name, service in compose.services.items()
        for volume in service.volumes
        if volume.startswith("materials:")
    }
    assert modes == {"tidegate-1": ["ro"], "tidegate-2": ["ro"], "setup": []}


def test_tidegate_reads_what_setup_writes_and_listens_where_envoy_looks(compose, tmp_path):
    setup, service = compose.services["setup"], compose.services["tidegate-1"]
    directory = setup.command[3]
    assert setup.command[:3] == ["python", "-m", "tidegate.demo.materials"]
    policy_source = next(t for s, t, _ in bind_mounts(setup) if s.endswith("policy.yaml"))
    assert setup.command[4:] == ["--policy", policy_source]
    made = make_materials(tmp_path)
    environment = service.environment
    assert environment["TIDEGATE_POLICY"] == f"{directory}/{made.policy.name}"
    assert environment["TIDEGATE_KEY_PEPPER_FILE"] == f"{directory}/{made.pepper.name}"
    assert environment["TIDEGATE_REPLICAS"] == str(len(edge.WORKERS))
    assert re.fullmatch(r"redis://([a-z]+):6379/0", environment["TIDEGATE_STORE"])[1] in compose.services
    for host, port in edge.WORKERS:
        assert compose.services[host].environment["TIDEGATE_LISTEN"] == f"0.0.0.0:{port}"


def test_prometheus_scrapes_every_replica(compose):
    document = yaml.safe_load((DEMO / "prometheus.yml").read_text())
    targets = [t for job in document["scrape_configs"] for part in job["static_configs"] for t in part["targets"]]
    metrics = [f"{host}:9501" for host, _ in edge.WORKERS]
    assert targets == metrics
    for host, _ in edge.WORKERS:
        assert compose.services[host].environment["TIDEGATE_METRICS"].endswith(":9501")


def test_the_model_is_where_envoy_looks(compose, stages):
    host, port = edge.MODEL
    target = compose.services[host].build.target
    assert f"0.0.0.0:{port}" in stages[target].last("CMD")
    assert stages[target].last("EXPOSE") == str(port)


def test_envoy_publishes_its_listener_and_hides_its_admin_page(compose):
    (published,) = compose.services["envoy"].ports
    assert published.endswith(f":{edge.LISTEN[1]}")
    assert edge.ADMIN[0] == "127.0.0.1"
    assert f"/dev/tcp/127.0.0.1/{edge.ADMIN[1]} " in compose.services["envoy"].healthcheck.test[-1]
    config = compose.services["envoy"].command[2]
    assert config in [target for _, target, _ in bind_mounts(compose.services["envoy"])]


def test_envoy_yaml_is_what_the_generator_makes_of_the_policy():
    assert edge.committed_bootstrap() == envoy_yaml.rendered(), "run: python -m tests.demo.envoy_yaml"


@pytest.mark.e2e
def test_envoy_accepts_its_file_and_its_command(compose):
    _envoy, *options = compose.services["envoy"].command
    options[options.index("--config-path") + 1] = str(DEMO / "envoy.yaml")
    done = subprocess.run([find_envoy(), *options, "--mode", "validate"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_settings_by_environment_are_settings_that_serve_reads(compose, stages):
    serve = typer.main.get_command(app).commands["serve"]
    known = {parameter.envvar for parameter in serve.params}
    built = re.findall(r"(TIDEGATE_\w+)=", stages["tidegate"].last("ENV"))
    assert built
    assert {*built, *compose.services["tidegate-1"].environment} <= known


def test_dockerfile_copies_what_exists(stages):
    copied = 0
    for stage in stages.values():
        for instruction, rest in stage.steps:
            words = shlex.split(rest)
            if instruction != "COPY":
                continue
            if words[0].startswith("--from="):
                assert words[0].removeprefix("--from=") in stages
                continue
            for source in words[:-1]:
                assert (ROOT / source).exists(), source
                copied += 1
    assert copied >= 5


def test_the_build_context_is_what_is_copied(stages):
    lines = (ROOT / "service" / "Dockerfile.dockerignore").read_text().splitlines()
    sent = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    copies = [shlex.split(rest) for stage in stages.values() for name, rest in stage.steps if name == "COPY"]
    copied = {source.split("/")[0] for words in copies if not words[0].startswith("--") for source in words[:-1]}
    assert sent == copied


@pytest.mark.parametrize("target", ["tidegate", "demo"])
def test_final_images_are_non_root_pinned_and_watched(stages, target):
    assert inherited(stages, target, "USER") == "10001:10001"
    assert inherited(stages, target, "HEALTHCHECK")
    assert lineage(stages, target)[-1].base == "scratch"
    assert stages["runtime"].last("COPY") == "--from=bare / /"
    assert re.fullmatch(r"python:3\.12\.\d+-slim-[a-z]+", lineage(stages, "bare")[-1].base)
    assert lineage(stages, "build")[-1].base == lineage(stages, "bare")[-1].base  # one Python made it and runs it


def test_the_last_stage_is_the_service(stages):
    assert list(stages)[-1] == "tidegate"


def test_dependencies_are_installed_by_hash(stages):
    installs = [
        rest for stage in stages.values() for name, rest in stage.steps if name == "RUN" and "pip install" in rest
    ]
    assert len(installs) == 3
    for command in installs:
        assert "--require-hashes" in command or "--no-deps --no-build-isolation" in command


def test_commands_in_the_images_exist(compose, stages):
    """`python -m` modules that images and services start are modules of this package."""
    lines = [rest for stage in stages.values() for _, rest in stage.steps]
    lines += [" ".join(service.command) for service in compose.services.values()]
    modules = {found for line in lines for found in re.findall(r"-m\W+(tidegate[\w.]*)", line)}
    assert modules >= {"tidegate.demo.app", "tidegate.demo.ready", "tidegate.demo.materials"}
    for module in modules:
        assert (ROOT / "service" / Path(*module.split("."))).with_suffix(".py").is_file(), module
