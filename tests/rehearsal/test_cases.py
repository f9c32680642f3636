"""`tidegate policy test` and `explain`: cases pass or fail as they should, and bad files are told of whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import tidegate.demo
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from tidegate.cli.policy import app
from tidegate.demo.materials import make_materials
from tidegate.errors import PolicyError
from tidegate.policy import load_policy
from tidegate.policy.document import read
from tidegate.policy.json_schema import json_schema
from tidegate.rehearsal.files import read_cases
from tidegate.rehearsal.results import _attribute
from tidegate.rehearsal.schema import CASES_ID, REQUEST_ID, CaseFile, RequestFile
from typer.testing import CliRunner, Result

from tests.policy.cases import cases
from tests.test_authorization import DATA

DEMO_CASES = Path(tidegate.demo.__file__).parent / "cases.yaml"
CHECKER = Draft202012Validator(json_schema(CaseFile, CASES_ID))
HEAD = """\
principals: {ada: {subject: ada, tenant: acme, tier: gold, roles: [analyst]}}
request: {method: POST, host: models.example.com, path: /v1/chat/completions, body: {model: small}}
cases:
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    (tmp_path / "policy.yaml").write_text(DATA["policy"])
    return tmp_path / "policy.yaml"


def run(policy: Path, body: str, *more: str, head: str = HEAD) -> Result:
    file = policy.parent / "cases.yaml"
    file.write_text(head + body)
    return CliRunner().invoke(app, ["test", str(policy), str(file), *more], env={"TIDEGATE_KEY_PEPPER": ""})


def test_the_demos_policy_decides_its_cases(tmp_path: Path) -> None:
    demo = make_materials(tmp_path)
    result = CliRunner().invoke(
        app, ["test", str(demo.policy), str(DEMO_CASES)], env={"TIDEGATE_KEY_PEPPER_FILE": str(demo.pepper)}
    )
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{len(read_cases(DEMO_CASES))} passed, 0 failed\n"


def test_the_demos_cases_reach_every_endpoint_tier_and_tenant(tmp_path: Path) -> None:
    policy = load_policy(make_materials(tmp_path).policy)
    found = read_cases(DEMO_CASES)
    assert {case.expect.endpoint for case in found} >= {endpoint.name for endpoint in policy.endpoints}
    callers = [case.question.principal for case in found if case.question.principal]
    assert {caller.tier for caller in callers} == set(policy.tiers)
    assert {caller.tenant for caller in callers} > set(policy.tenants)


def test_the_demos_cases_notice_a_policy_that_changed(tmp_path: Path) -> None:
    demo = make_materials(tmp_path)
    demo.policy.write_text(demo.policy.read_text().replace("free: [small]", "free: [small, large]"))
    result = CliRunner().invoke(app, ["test", str(demo.policy), str(DEMO_CASES)])
    assert result.exit_code == 1
    assert "a free analyst may not use the large model" in result.stdout
    assert result.stdout.endswith("17 passed, 1 failed\n")


def test_a_failure_names_file_and_line_and_what_differs(policy: Path) -> None:
    result = run(
        policy,
        """\
  - name: passes
    principal: ada
    expect: {effect: allow, endpoint: chat, model: small}
  - name: another model
    principal: ada
    expect: {effect: allow, model: large, limits: [platform/ip, tier:free/rpm], rulesets: []}
  - name: another effect
    principal: ada
    request: {method: GET}
    expect: {effect: deny}
  - name: another refusal
    request: {body: {model: large}}
    principal: ada
    expect: {effect: deny, status: 404, reason: endpoint_unknown}
""",
    )
    assert result.exit_code == 1
    file = policy.parent / "cases.yaml"
    assert result.stdout.splitlines() == [
        f"{file}:7: another model",
        "    model: expected large, was small",
        "    limits: expected platform/ip, *tier:free/rpm, was platform/ip, *tenant:acme/day, *endpoint:chat/burst",
        "    rulesets: expected none, was *secrets, *pii, *extra, *cards",
        "    decided: ALLOW chat, model small",
        f"{file}:10: another effect",
        "    effect: expected deny, was allow",
        "    decided: ALLOW chat, model small",
        f"{file}:14: another refusal",
        "    status: expected 404, was 403",
        "    reason: expected endpoint_unknown, was access_denied",
        "    decided: DENY 403 access_denied: You may not use this endpoint in this way. "
        "(no grant covers model 'large' on endpoint 'chat')",
        "    by grants of models: 'large', from body.model",
        "      tenants.acme.grants[0], role analyst: does not cover it, only models small",
        "1 passed, 3 failed",
    ]


def test_json_and_junit_say_the_same_as_the_text(policy: Path) -> None:
    body = """\
  - {name: "good <&> \\"quoted\\"", principal: ada, expect: {effect: allow}}
  - {name: bad, principal: ada, expect: {effect: deny}}
"""
    xml = policy.parent / "out.xml"
    result = run(policy, body, "--json", "--junit", str(xml))
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert (found["passed"], found["failed"]) == (1, 1)
    assert [(case["line"], case["passed"], case["differences"]) for case in found["cases"]] == [
        (4, True, []),
        (5, False, [{"key": "effect", "expected": "deny", "was": "allow"}]),
    ]
    suites = ElementTree.parse(xml).getroot()
    assert (suites.tag, suites.get("tests"), suites.get("failures")) == ("testsuites", "2", "1")
    good, bad = suites.findall("testsuite/testcase")
    assert (good.get("name"), good.get("line"), len(good)) == ('good <&> "quoted"', "4", 0)
    failure = bad.find("failure")
    assert failure is not None
    assert "effect: expected deny, was allow" in str(failure.get("message"))


@given(st.text())
def test_any_text_may_stand_in_the_xml(value: str) -> None:
    written = f"<a b={_attribute(value)}/>".encode("utf-8", "replace")
    assert ElementTree.fromstring(written).tag == "a"


@pytest.mark.parametrize("case", cases("case_file_errors.yaml"), ids=lambda case: str(case["name"]))
def test_every_problem_of_a_case_file_is_named(case: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(case["file"])
    with pytest.raises(PolicyError) as caught:
        read_cases(tmp_path / "c.yaml")
    wanted = [f"{tmp_path / 'c.yaml'}:{line}" for line in case["want"].splitlines()]
    assert [str(problem) for problem in caught.value.problems] == wanted
    if case["name"] != "names that lead nowhere, and names twice" and case["file"]:
        assert not CHECKER.is_valid(read(case["file"], "c").data)


def test_bad_files_decide_nothing_and_are_all_told_of(policy: Path) -> None:
    other = policy.parent / "other.yaml"
    other.write_text("cases: 3\n")
    result = run(policy, "  - {name: a}\n", str(other), str(policy.parent / "none.yaml"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines() == [
        f"{policy.parent / 'cases.yaml'}:4: cases[0].expect: required key is missing",
        f"{other}:1: cases: must be a list, not 3",
        f"{policy.parent / 'none.yaml'}:1: (document): cannot be read: No such file or directory",
    ]
    policy.write_text("version: 2\n")
    assert run(policy, "  - {name: a, expect: {effect: deny}}\n").exit_code == 2


def test_an_xml_file_that_cannot_be_written_is_told_of(policy: Path) -> None:
    body = "  - {name: a, principal: ada, expect: {effect: allow}}\n"
    result = run(policy, body, "--junit", str(policy.parent / "no" / "such.xml"))
    assert (result.exit_code, result.stderr) == (
        2,
        f"{policy.parent / 'no' / 'such.xml'}: cannot be written: No such file or directory\n",
    )


def test_a_case_takes_what_it_leaves_out_from_the_file(policy: Path) -> None:
    head = HEAD.replace("request: {", "request: {headers: {X-A: a, x-b: b}, ")
    (policy.parent / "c.yaml").write_text(
        head + "  - {name: a, principal: ada, request: {path: /x?q=1, headers: {x-a: c}}, expect: {effect: deny}}\n"
    )
    asked = read_cases(policy.parent / "c.yaml")[0].question.request
    assert (asked.method, asked.host, asked.path, asked.query) == ("POST", "models.example.com", "/x", "q=1")
    assert (asked.headers, asked.body) == ({"x-a": "c", "x-b": "b"}, b'{"model": "small"}')


def test_the_demos_cases_fit_the_published_schema() -> None:
    Draft202012Validator.check_schema(json_schema(CaseFile, CASES_ID))
    assert CHECKER.is_valid(read(DEMO_CASES.read_text(), "c").data)


@pytest.mark.parametrize(("flag", "name"), [("--request", REQUEST_ID), ("--cases", CASES_ID)])
def test_the_schemas_of_the_files_are_printed(flag: str, name: str) -> None:
    result = CliRunner().invoke(app, ["schema", flag])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["$id"] == name


def test_explain_prints_the_path_or_what_is_wrong_with_the_files(policy: Path) -> None:
    file = policy.parent / "request.json"
    file.write_text(
        '{"principal": {"subject": "ada", "tenant": "acme", "tier": "gold", "roles": ["analyst"]},\n'
        ' "request": {"method": "POST", "host": "models.example.com", "path": "/v1/chat/completions",\n'
        '             "body": {"model": "large"}}}\n'
    )
    assert Draft202012Validator(json_schema(RequestFile, REQUEST_ID)).is_valid(json.loads(file.read_text()))
    result = CliRunner().invoke(app, ["explain", str(policy), "--request", str(file)])
    assert result.exit_code == 0
    assert "yes models of the tier: 'large', from body.model; tier gold may use large, small\n" in result.stdout
    assert result.stdout.endswith("(no grant covers model 'large' on endpoint 'chat')\n")
    as_json = CliRunner().invoke(app, ["explain", str(policy), "--request", str(file), "--json"])
    assert json.loads(as_json.stdout)["verdict"]["rule"] == "grants of models"
    file.write_text('{"principal": {"subject": "ada", "tenant": "acme"}, "request": {"paths": "/"}}')
    bad = CliRunner().invoke(app, ["explain", str(policy), "--request", str(file)])
    assert (bad.exit_code, bad.stdout) == (2, "")
    assert bad.stderr.splitlines() == [
        f"{file}:1: principal.tier: required key is missing",
        f"{file}:1: request.paths: unknown key 'paths'; did you mean 'path'?",
    ]
