"""`tidegate envoy-config --check`: each trap is one that the real Envoy takes without a word, and is named."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tidegate.cli import app
from tidegate.envoy.config import EnvoyConfig
from tidegate.envoy.traps import TRAPS, UnreadableConfig, read, trapped
from typer.testing import CliRunner

from tests.e2e.damage import CACHE, DAMAGE, REFUSED, SOUND, Damage, Document, another_port, authz, inserted
from tests.e2e.test_envoy_config import BASE, VARIANTS, validate

CASES = [(name, damage) for name, listed in DAMAGE.items() for damage in listed]


def names(document: Document) -> set[str]:
    return {one.trap.name for one in trapped(read(yaml.safe_dump(document, sort_keys=False)))}


def test_every_trap_has_a_case() -> None:
    assert [trap.name for trap in TRAPS if trap.name not in REFUSED] == list(DAMAGE)
    assert REFUSED.keys() < {trap.name for trap in TRAPS}


@pytest.mark.parametrize(("name", "damage"), CASES, ids=[f"{name}-{n}" for n, (name, _) in enumerate(CASES)])
def test_envoy_takes_the_trap_and_the_check_names_it_and_no_other(name: str, damage: Damage, tmp_path: Path) -> None:
    document = copy.deepcopy(SOUND)
    damage(document)
    assert names(document) == {name}
    validate(yaml.safe_dump(document), tmp_path)


def test_a_trap_that_envoy_itself_refuses_is_named_too() -> None:
    document = copy.deepcopy(SOUND)
    REFUSED["trailer-mode"](document)
    assert names(document) == set(REFUSED)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS.keys())
def test_what_we_write_has_no_trap(variant: dict[str, Any]) -> None:
    config = EnvoyConfig(**(BASE | variant))
    assert trapped(read(config.render())) == []
    assert trapped(read(config.render_filters())) == []
    assert trapped(read(json.dumps(yaml.safe_load(config.render())))) == []


def test_a_cache_behind_the_policy_and_a_listener_to_nothing_of_it_are_no_traps(tmp_path: Path) -> None:
    document = copy.deepcopy(SOUND)
    inserted(2, "cache", CACHE)(document)
    another_port(document)
    second = document["static_resources"]["listeners"][-1]["filter_chains"][0]["filters"][0]["typed_config"]
    answer = {"match": {"prefix": "/"}, "direct_response": {"status": 200}}
    second["route_config"]["virtual_hosts"] = [{"name": "up", "domains": ["*"], "routes": [answer]}]
    authz(document)["filter_enabled"] = {"default_value": {"numerator": 100}}
    assert names(document) == set()
    validate(yaml.safe_dump(document), tmp_path)


def test_names_in_camel_case_are_the_same_names() -> None:
    text = EnvoyConfig(**BASE).render()
    camel = text.replace("failure_mode_allow: false", "failureModeAllow: true").replace("http_filters", "httpFilters")
    assert {one.trap.name for one in trapped(read(camel))} == {"fail-open"}


def test_the_command_names_file_line_and_remedy(tmp_path: Path) -> None:
    file = tmp_path / "envoy.yaml"
    text = EnvoyConfig(**BASE).render()
    file.write_text(text)
    sound = CliRunner().invoke(app, ["envoy-config", "--check", str(file)])
    assert (sound.exit_code, sound.output) == (0, f"{file}: none of the known traps\n")
    file.write_text(text.replace("failure_mode_allow: false", "failure_mode_allow: true", 1))
    line = text.split("\n").index("              failure_mode_allow: false") + 1
    caught = CliRunner().invoke(app, ["envoy-config", "--check", str(file)])
    assert caught.exit_code == 1
    assert caught.output.startswith(f"{file}:{line}: ")
    assert "set failure_mode_allow: false [leaks: fail-open]" in caught.output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "line "),
        ("- a", "an Envoy configuration is a mapping"),
        ("a: &a [*a]", "too deeply nested"),
        (
            "a: &a [x, x, x]\nb: &b [*a, *a, *a]\n" + "".join(f"k{n}: &k{n} [{'*b, ' * 900}]\n" for n in range(80)),
            "aliases",
        ),
        ("a: " + "[" * 5000 + "]" * 5000, "nested"),
        ("a: " + "x" * 5_000_000, "larger"),
    ],
)
def test_what_is_no_configuration_is_an_error_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableConfig, match=message):
        read(text)
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    assert CliRunner().invoke(app, ["envoy-config", "--check", str(file)]).exit_code == 2
    assert CliRunner().invoke(app, ["envoy-config", "--check", str(tmp_path / "none.yaml")]).exit_code == 2
