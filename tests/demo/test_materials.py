"""Keys, key set and pepper of a run, beside a copy of the policy."""

import json
import stat
import sys
from importlib.resources import files

import pytest
import yaml
from tidegate.demo import materials
from tidegate.demo.materials import CALLERS, curl_lines, make_materials
from tidegate.demo.tokens import AUDIENCE, ISSUER


def test_every_caller_gets_a_key_and_only_its_hash_is_written(tmp_path):
    made = make_materials(tmp_path)
    assert set(made.keys) == {caller.subject for caller in CALLERS}
    text = (tmp_path / "keys.yaml").read_text()
    rows = yaml.safe_load(text)["keys"]
    assert [(row["subject"], row["tenant"], row["tier"]) for row in rows] == [
        (caller.subject, caller.tenant, caller.tier) for caller in CALLERS
    ]
    for key in made.keys.values():
        assert key.split("_", 2)[2] not in text


def test_nothing_is_the_same_twice(tmp_path):
    one, two = tmp_path / "1", tmp_path / "2"
    for directory in (one, two):
        directory.mkdir()
    first, second = make_materials(one), make_materials(two)
    assert not set(first.keys.values()) & set(second.keys.values())
    assert first.pepper.read_text() != second.pepper.read_text()
    assert (one / "jwks.json").read_text() != (two / "jwks.json").read_text()


def test_secrets_are_for_their_owner(tmp_path):
    make_materials(tmp_path)
    for name in ("pepper", "keys.yaml"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_the_policy_is_the_demos_and_trusts_the_demos_issuer(tmp_path):
    made = make_materials(tmp_path)
    assert made.policy.read_text() == files("tidegate.demo").joinpath("policy.yaml").read_text()
    (issuer,) = yaml.safe_load(made.policy.read_text())["platform"]["identity"]["issuers"]
    assert (issuer["issuer"], issuer["audiences"]) == (ISSUER, [AUDIENCE])
    assert json.loads((tmp_path / issuer["jwks_file"]).read_text()) == made.signer.jwks()


def test_curl_lines_carry_working_credentials(tmp_path):
    made = make_materials(tmp_path)
    lines = curl_lines("http://gate", made)
    assert made.keys["paul"] in lines
    assert made.keys["frida"] in lines
    assert lines.count("curl ") == 3


def run(monkeypatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["materials", *arguments])
    materials.main()


def test_setup_makes_materials_once_and_updates_the_policy_ever_after(tmp_path, monkeypatch, capsys):
    target, policy = tmp_path / "made", tmp_path / "mine.yaml"
    policy.write_text("version: 1\n")
    run(monkeypatch, str(target), "--base", "http://gate:1")
    assert "curl -N http://gate:1/v1/chat/completions" in capsys.readouterr().out
    keys = (target / "keys.yaml").read_text()
    run(monkeypatch, str(target), "--policy", str(policy))
    assert "exist already" in capsys.readouterr().out
    assert (target / "keys.yaml").read_text() == keys
    assert (target / "policy.yaml").read_text() == "version: 1\n"


def test_setup_wants_a_directory(monkeypatch):
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch)
