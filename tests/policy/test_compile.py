"""A good document becomes the frozen policy that it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tidegate.admission.queue.terms import Capacity
from tidegate.errors import PolicyError
from tidegate.filtering.detectors import GROUPS
from tidegate.filtering.ruleset import Action, Rule, Ruleset, merge
from tidegate.filtering.selection import Pointer, Selection
from tidegate.model import Limit
from tidegate.policy import Policy, load_policy, parse_policy
from tidegate.policy.compiled import Endpoint, Grant, ModelRule, Reveal, StorePolicy, Tenant, Tier
from tidegate.policy.compiled_identity import ApiKeys, ClaimMap, Dpop, Issuer
from tidegate.policy.conditions import condition
from tidegate.policy.words import ALGORITHMS
from tidegate.policy.workloads import Workload, Workloads

from tests.policy.cases import cases, valid

FULL = valid("every key")
KEY = {"kty": "RSA", "kid": "1", "n": "AQAB", "e": "AQAB"}


@pytest.fixture(scope="module")
def policy() -> Policy:
    return parse_policy(FULL, base=Path("/etc/tidegate"))


def endpoint(policy: Policy, name: str) -> Endpoint:
    return next(found for found in policy.endpoints if found.name == name)


@pytest.mark.parametrize("case", cases("policy_valid.yaml"), ids=lambda case: str(case["name"]))
def test_good_documents_compile(case: dict[str, Any]) -> None:
    assert len(parse_policy(case["document"]).version) == 12


@pytest.mark.parametrize("case", cases("policy_valid.yaml"), ids=lambda case: str(case["name"]))
def test_no_limit_is_left_out_of_the_list(case: dict[str, Any]) -> None:
    policy = parse_policy(case["document"])
    reached = {limit for limits in policy.caller_limits.values() for limit in limits}
    reached |= {limit for limits in policy.subject_limits.values() for limit in limits}
    reached |= {limit for endpoint in policy.endpoints for limit in endpoint.limits}
    assert reached <= set(policy.limits())
    assert len(set(policy.limits())) == len(policy.limits())


def test_identity(policy: Policy) -> None:
    assert policy.api_keys == ApiKeys("x-api-key", Path("/etc/tidegate/secrets/keys.yaml"))
    corp, lab, cloud = policy.issuers
    assert corp == Issuer(
        name="corp",
        issuer="https://id.example.com/",
        audiences=("models", "chat"),
        algorithms=("ES256", "RS512"),
        jwks_uri="https://id.example.com/jwks",
        leeway=0.0,
        max_lifetime=3600.0,
        types=frozenset({"", "at+jwt"}),
        claims=ClaimMap(
            subject=("sub",),
            tenant=("https://id.example.com/tenant", "name"),
            tier=("plan",),
            roles=("realm", "roles"),
            scopes=("scp",),
            default_tenant="acme",
            default_tier="free",
            default_roles=frozenset({"guest"}),
            tenants=frozenset({"acme", "globex"}),
        ),
        dpop="required",
    )
    assert lab == Issuer(
        name="lab",
        issuer="https://lab.example.com/",
        audiences=("models",),
        algorithms=("RS256", "ES256"),
        jwks_uri="http://127.0.0.1:8080/jwks",
        claims=ClaimMap(default_tenant="globex", default_tier="gold"),
    )
    assert cloud == Issuer(
        name="cloud",
        issuer="https://login.example.com/tenant-1",
        audiences=("models", "chat"),
        algorithms=("PS256", "RS256"),
        discover=True,
        claims=ClaimMap(
            client=("client_id",), roles=("realm_access", "roles"), default_tenant="globex", default_tier="gold"
        ),
    )


def test_proofs_of_possession(policy: Policy) -> None:
    assert policy.dpop == Dpop(algorithms=("ES256", "PS256"), window=30.0, nonce=True, scheme="https")
    assert policy.dpop_required
    other = parse_policy("version: 1\n")
    assert other.dpop == Dpop()
    assert set(other.dpop.algorithms) == set(ALGORITHMS)
    assert not other.dpop_required


def test_workloads(policy: Policy) -> None:
    assert policy.workloads == Workloads(
        (
            Workload("spiffe://prod.example.com/ns/ml/sa/batch", "acme", "gold", roles=frozenset({"analyst"})),
            Workload(
                "spiffe://prod.example.com/**",
                "acme",
                "free",
                subject="mesh",
                scopes=frozenset({"models.read"}),
                endpoints=frozenset({"chat"}),
            ),
        )
    )
    assert policy.xfcc_from == {"spiffe://prod.example.com/ns/edge/sa/proxy"}


def test_platform(policy: Policy) -> None:
    assert policy.floor_rulesets == ("secrets",)
    assert policy.floor_limits == (Limit("platform", "ip", "sliding_window", 100, 60.0, per=("client_ip",)),)
    assert policy.store == StorePolicy("deny")
    assert policy.trusted_hops == 2
    assert policy.heartbeat == 5.0


def test_tiers_and_tenants(policy: Policy) -> None:
    rpm = Limit("tier:free", "rpm", "token_bucket", 20, 60.0, 20, ("subject",))
    day = Limit("tenant:acme", "day", "sliding_window", 1_000_000, 86_400.0, per=("tenant", "model"))
    tpm = Limit(
        "tenant:acme", "tpm", "sliding_window_counter", 90_000, 60.0, per=("model",), cost="tokens", shadow=True
    )
    calls = Limit("tenant:globex", "reveal calls", "token_bucket", 5, 3600.0, 5, ("subject",))
    kinds = frozenset({"EMAIL", "AGE_SECRET_KEY", "JWT", "PRIVATE_KEY"})
    reveal = Reveal(frozenset({"privacy", "dpo"}), frozenset({"pseudonyms.reveal"}), kinds, calls)
    berlin = Limit(
        "tenant:acme",
        "month",
        "quota",
        50_000_000,
        31 * 86_400.0,
        cost="prompt_tokens",
        resets="month",
        time_zone="Europe/Berlin",
    )
    upload = Limit("tenant:acme", "upload", "quota", 10**9, 3600.0, cost="request_bytes", resets="hour")
    assert policy.tiers == {"free": Tier("free", 1, "sheddable", (rpm,)), "gold": Tier("gold", 10, "critical")}
    assert policy.tier_rulesets == {"free": ("cards",), "gold": ()}
    in_eu = condition('claims.region == "eu"')
    analyst = Grant("analyst", frozenset({"chat"}), frozenset({"POST"}), frozenset({"small"}), in_eu)
    nobody = condition("caller.client_id == ''")
    denies = (
        Grant("*", frozenset({"chat"}), frozenset({"GET"}), when=nobody),
        Grant("analyst", models=frozenset({"small"})),
    )
    assert policy.tenants == {
        "acme": Tenant("acme", (analyst, Grant("admin")), (day, tpm, berlin, upload), denies=denies),
        "globex": Tenant("globex", (Grant("guest", frozenset({"chat"})),), weight=3, reveal=reveal),
    }
    assert policy.tenants["acme"].by_role == {"analyst": (analyst,), "admin": (Grant("admin"),)}


def test_rulesets(policy: Policy) -> None:
    assert policy.rulesets["secrets"] == Ruleset(
        "secrets",
        (
            Rule(frozenset({"AWS_KEY", "JWT"}), Action.REDACT),
            Rule(frozenset({"PRIVATE_KEY"}), Action.BLOCK),
        ),
    )
    assert {rule.action for rules in policy.rulesets.values() for rule in rules.rules} == set(Action)


def test_endpoints(policy: Policy) -> None:
    assert endpoint(policy, "chat") == Endpoint(
        name="chat",
        owner="acme",
        hosts=frozenset({"models.example.com"}),
        path="/v1/chat/completions",
        methods=frozenset({"POST"}),
        model=ModelRule("body", ("model",), {"free": frozenset({"small"}), "gold": frozenset({"*"})}),
        scopes=frozenset({"models.read"}),
        audiences=frozenset({"chat"}),
        shared_with=frozenset({"globex"}),
        classification="restricted",
        rulesets=("secrets", "pii", "cards"),
        selection=Selection(
            (Pointer("/choices", ("choices",)), Pointer("/outputs/*/data", ("outputs", "*", "data"))),
            (Pointer("/choices/*/a~1b~0", ("choices", "*", "a/b~")),),
            keys=False,
        ),
        limits=(
            Limit("endpoint:chat", "burst", "token_bucket", 5, 0.1, 1),
            Limit("endpoint:chat", "running", "concurrency", 64, 120.0, per=("model",), shadow=True),
            Limit("endpoint:chat", "each", "concurrency", 4, 60.0, per=("subject",)),
        ),
        errors="problem",
        blank_lines=True,
        unscannable="pass",
        max_response=65_536,
        capacity=Capacity(64, 0, 1.0, 5.0, 63, "requests"),
        conversation="x-conversation-id",
    )
    predict = endpoint(policy, "predict")
    assert predict.shared_with == {"acme", "globex"}
    assert predict.model == ModelRule("path", ("model",), {"free": frozenset({"*"})})
    assert (predict.errors, predict.max_response, predict.request_body) == ("problem", 1000, False)
    assert endpoint(policy, "chat").request_body


def test_errors_take_openais_shape_under_v1() -> None:
    text = valid("identity by key alone")
    assert parse_policy(text).endpoints[0].errors == "problem"
    assert parse_policy(text.replace('"/**"', '"/v1/**"')).endpoints[0].errors == "openai"


@pytest.mark.parametrize(
    ("concurrent", "priority", "reserve"),
    [(64, "critical", 8), (9, "critical", 2), (2, "critical", 1), (1, "critical", 0), (64, "standard", 0)],
)
def test_an_eighth_is_reserved_where_somebody_is_critical(concurrent: int, priority: str, reserve: int) -> None:
    text = f"""
version: 1
tiers: {{inside: {{priority: {priority}}}}}
tenants: {{acme: {{}}}}
endpoints:
  chat:
    owner: acme
    match: {{hosts: ["*"], path: /chat, methods: [POST]}}
    capacity: {{concurrent: {concurrent}}}
"""
    assert parse_policy(text).endpoints[0].capacity == Capacity(concurrent, reserve=reserve)


def test_what_a_decision_looks_up_is_laid_out_beforehand(policy: Policy) -> None:
    assert policy.passes["chat", "free"] == ("secrets", "pii", "cards")
    assert policy.passes["chat", "gold"] == ("secrets", "pii", "cards")
    assert policy.passes["predict", "free"] == ("secrets", "cards")
    assert policy.passes["predict", "gold"] == ("secrets",)
    scopes = [limit.scope for limit in policy.caller_limits["acme", "free"]]
    assert scopes == ["platform", "tier:free", *["tenant:acme"] * 4]
    assert [limit.scope for limit in policy.caller_limits["globex", "gold"]] == ["platform"]


def test_a_callers_own_limits_stand_for_those_of_their_name() -> None:
    policy = parse_policy(valid("limits of single callers"))
    assert policy.tenants["acme"].subjects["ada"] == (
        Limit("subject:acme/ada", "rpm", "sliding_window", 200, 60.0, per=("subject",)),
        Limit(
            "subject:acme/ada",
            "spend",
            "quota",
            5_000_000,
            86_400.0,
            per=("subject", "model"),
            cost="money",
            resets="day",
            currency="USD",
        ),
    )

    def names(tenant: str, tier: str, subject: str) -> list[tuple[str, str]]:
        return [(limit.scope.partition(":")[0], limit.name) for limit in policy.limits_of(tenant, tier, subject)]

    floor, own = ("platform", "ip"), ("subject", "rpm")
    assert names("acme", "free", "bob") == [floor, ("tier", "rpm"), ("tier", "tpm"), ("tenant", "day")]
    assert names("acme", "free", "nobody") == names("acme", "free", "bob")
    assert names("acme", "free", "ada") == [floor, ("tier", "tpm"), ("tenant", "day"), own, ("subject", "spend")]
    assert names("acme", "gold", "ada") == [floor, ("tenant", "day"), own, ("subject", "spend")]
    batch = "https://id.example.com/users/7 (batch)"
    assert names("acme", "free", batch) == [floor, ("tier", "rpm"), ("tier", "tpm"), ("subject", "day")]
    assert names("beta", "free", "ada") == [floor, ("tier", "rpm"), ("tier", "tpm")]


def test_the_version_follows_what_the_document_says_and_not_how() -> None:
    version = parse_policy(FULL).version
    assert (
        parse_policy("# a comment\n" + FULL.replace("[models, chat]", "\n          - models\n          - chat")).version
        == version
    )
    assert parse_policy(FULL.replace("weight: 10", "weight: 11")).version != version


def with_keys(folder: Path, content: str | bytes | dict[str, Any]) -> Path:
    data = json.dumps(content) if isinstance(content, dict) else content
    (folder / "jwks.json").write_bytes(data.encode() if isinstance(data, str) else data)
    text = FULL.replace("jwks_uri: https://id.example.com/jwks", "jwks_file: jwks.json")
    (folder / "policy.yaml").write_text(text)
    return folder / "policy.yaml"


def test_a_static_key_set_becomes_part_of_the_policy_and_its_version(tmp_path: Path) -> None:
    first = load_policy(with_keys(tmp_path, {"keys": [KEY]}))
    assert first.issuers[0].jwks == (KEY,)
    assert first.issuers[0].jwks_uri == ""
    second = load_policy(with_keys(tmp_path, {"keys": [{**KEY, "kid": "2"}]}))
    assert first.version != second.version


def test_named_files_are_relative_to_the_policy_or_to_a_given_base(tmp_path: Path) -> None:
    file = with_keys(tmp_path, {"keys": [KEY]})
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    file.rename(elsewhere / "policy.yaml")
    with pytest.raises(PolicyError, match=r"jwks_file: cannot read '.*elsewhere/jwks.json': No such file"):
        load_policy(elsewhere / "policy.yaml")
    policy = load_policy(elsewhere / "policy.yaml", keys_base=tmp_path)
    assert policy.api_keys is not None
    assert policy.api_keys.file == tmp_path / "secrets/keys.yaml"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        (b"\xff", "is not JSON"),
        ("[]", "is not a JWK set"),
        ({"keys": []}, "is not a JWK set"),
        ({"keys": [1]}, "is not a JWK set"),
        ({"keys": [{**KEY, "kty": "oct", "k": "c2VjcmV0"}]}, r'key 0 of .* is not a public key: kty is "oct"'),
        ({"keys": [KEY, {**KEY, "d": "AQAB"}]}, "key 1 of .* is a private key"),
        ("[" * 100_000, "is not JSON"),
        (" " * (1024 * 1024 + 1), "is larger than 1024 KiB"),
    ],
)
def test_a_key_set_must_hold_public_keys(tmp_path: Path, content: Any, message: str) -> None:
    file = with_keys(tmp_path, content)
    with pytest.raises(PolicyError, match=message) as caught:
        load_policy(file)
    (problem,) = caught.value.problems
    assert (problem.line, problem.key) == (10, "platform.identity.issuers[0].jwks_file")


def test_regions_of_the_floor_and_of_an_endpoint_add_up_and_prompts_have_their_own() -> None:
    policy = parse_policy(valid("telephone numbers as regions write them"))
    assert [rule.regions for rule in policy.rulesets["pii"].rules] == [{"GB", "DE"}, {"US"}]
    assert merge([policy.rulesets["pii"]]).regions == {"GB", "DE", "US"}
    checks = endpoint(policy, "chat").request
    assert checks is not None
    assert [rule.regions for ruleset in checks.rules for rule in ruleset.rules] == [{"FR"}]


def test_the_name_of_a_group_stands_for_its_kinds_of_value(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("version: 1\nrulesets: {s: [{detect: [CLOUD_SECRETS, EMAIL], act: mask}]}\n")
    (rule,) = load_policy(file).rulesets["s"].rules
    assert rule.entities == GROUPS["CLOUD_SECRETS"] | {"EMAIL"}
    assert "AWS_KEY" in rule.entities
    assert "CLOUD_SECRETS" not in rule.entities
