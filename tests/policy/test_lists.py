"""Lists of a policy: whose they are, what files they come from, and that a bad file changes nothing."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import pytest
from tidegate.envoy.handoff import Handoff
from tidegate.envoy.plans import Plans
from tidegate.errors import PolicyError, UnsupportedBody
from tidegate.filtering.deny_list import DenyList
from tidegate.filtering.ruleset import FilterPlan
from tidegate.filtering.staged import rewriting
from tidegate.policy import Policy, PolicySource, compiled_lists, load_policy
from tidegate.policy.term_files import MAX_TERMS, read_terms

from tests.policy.cases import valid
from tests.policy.watching import watched

SHARED = valid("deny lists and allow lists")
FROM_FILE = """
version: 1
deny_lists: {{projects: {{file: projects.txt, case_sensitive: {cased}}}}}
rulesets: {{brand: [{{detect: [LIST_PROJECTS], act: redact}}]}}
platform: {{floor: {{rulesets: [brand]}}}}
tenants: {{acme: {{}}}}
endpoints: {{chat: {{owner: acme, match: {{hosts: "*", path: /chat, methods: [POST]}}}}}}
"""


def plan_of(policy: Policy, endpoint: str, *rulesets: str) -> FilterPlan:
    handoff = Handoff("r", policy.version, "ada", "acme", "free", endpoint, "", rulesets, "problem", "withhold", 1)
    return Plans(lambda: policy)(handoff)


def rewritten(policy: Policy, endpoint: str, text: str, *rulesets: str) -> str:
    rewriter = rewriting(plan_of(policy, endpoint, *rulesets))
    return rewriter.feed(text) + rewriter.finish()


@pytest.fixture
def shared(tmp_path: Path) -> Policy:
    (tmp_path / "policy.yaml").write_text(SHARED.replace("act: block", "act: redact"))
    return load_policy(tmp_path / "policy.yaml")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "policy.yaml").write_text(FROM_FILE.format(cased="false"))
    (tmp_path / "projects.txt").write_text("Blue Bird\n")
    return tmp_path / "policy.yaml"


def test_a_tenants_list_holds_on_its_endpoints_and_the_platforms_everywhere(shared: Policy) -> None:
    text = "blue bird, red kite, Initech"
    assert rewritten(shared, "chat", text, "rivals") == "[LIST_PROJECTS], [LIST_PROJECTS], *******"
    assert rewritten(shared, "other", text) == "[LIST_PROJECTS], red kite, Initech"


def test_without_the_list_that_it_needs_nothing_is_let_out(shared: Policy) -> None:
    with pytest.raises(UnsupportedBody, match="LIST_RIVALS"):
        plan_of(shared, "other", "rivals")
    with pytest.raises(UnsupportedBody, match="LIST_RIVALS"):
        plan_of(shared, "gone", "rivals")


def test_the_platforms_allowed_values_pass_the_floor_and_a_tenants_do_not(tmp_path: Path) -> None:
    text = SHARED.replace(
        'terms: ["+1 212-555-0100"], only: [PHONE, NATIONAL_IDS, LIST_RIVALS]', "terms: [bob@example.com, Initech]"
    )
    (tmp_path / "policy.yaml").write_text(text)
    policy = load_policy(tmp_path / "policy.yaml")
    mails = "support@example.com bob@example.com x@help.example.com Initech"
    assert rewritten(policy, "chat", mails, "rivals") == "support@example.com [EMAIL] x@help.example.com Initech"
    assert rewritten(policy, "other", mails) == "support@example.com [EMAIL] x@help.example.com Initech"
    own = text.replace("LIST_CODES, EMAIL]", "LIST_CODES]").replace("[LIST_RIVALS]", "[LIST_RIVALS, EMAIL]")
    (tmp_path / "policy.yaml").write_text(own)
    assert rewritten(load_policy(tmp_path / "policy.yaml"), "chat", mails + " a@b.example", "rivals") == (
        "support@example.com bob@example.com x@help.example.com Initech *@*.example"
    )


def test_a_file_has_a_term_a_line_and_comments(tmp_path: Path) -> None:
    file = tmp_path / "terms.txt"
    file.write_bytes("\ufeff# ours\r\n  Blue Bird \r\n\r\n\\#hash\n#gone\nBlue Bird\nC#".encode())
    assert read_terms(file).terms == ("Blue Bird", "#hash", "C#")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"fine\n\xff\n", "line 2 of 'terms.txt' is not UTF-8"),
        (b"fine\n\n\xe2\x80\x8b\n", "line 3 of 'terms.txt' has nothing that a reader would see"),
        (b"x" * 257, "line 1 of 'terms.txt' is longer than 256 characters"),
        (b"".join(b"%d\n" % number for number in range(MAX_TERMS + 1)), "'terms.txt' has more than 100,000 terms"),
    ],
)
def test_a_bad_file_is_refused_without_a_word_of_its_terms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, problem: str
) -> None:
    (tmp_path / "terms.txt").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError) as caught:
        read_terms(Path("terms.txt"))
    assert str(caught.value) == problem


def test_a_policy_names_the_line_of_its_list_file(file: Path) -> None:
    (file.parent / "projects.txt").write_bytes(b"a\n\xff")
    with pytest.raises(PolicyError, match=r"policy.yaml:3: deny_lists.projects.file: line 2 of .*projects.txt' is not"):
        load_policy(file)


def test_a_change_of_the_list_is_another_version_and_what_did_not_change_is_not_compiled_again(file: Path) -> None:
    source = PolicySource(file)
    before = source.current
    assert source.files == (file, file.parent / "projects.txt")
    file.write_text(FROM_FILE.format(cased="false") + "tiers: {free: {}}\n")
    assert source.reload()
    assert source.current.spotters[0] is before.spotters[0]
    (file.parent / "projects.txt").write_text("Red Kite\n")
    version = source.current.version
    assert source.reload()
    assert source.current.version != version
    assert source.current.spotters[0] is not before.spotters[0]


async def test_a_changed_list_is_in_force_by_itself_and_a_bad_one_leaves_the_old(file: Path) -> None:
    terms = file.parent / "projects.txt"
    async with watched(file) as (source, seen):
        assert rewritten(source.current, "chat", "blue bird, red kite") == "[LIST_PROJECTS], red kite"
        terms.write_text("Red Kite\n")
        await seen.next()
        assert rewritten(source.current, "chat", "blue bird, red kite") == "blue bird, [LIST_PROJECTS]"
        terms.write_bytes(b"\xff")
        await seen.next()
        assert [problem.key for problem in seen.errors[-1].problems] == ["deny_lists.projects.file"]
        assert rewritten(source.current, "chat", "blue bird, red kite") == "blue bird, [LIST_PROJECTS]"


async def test_a_hundred_thousand_terms_are_compiled_beside_the_event_loop(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []

    class Watched(DenyList):
        def __init__(self, *args: Any, **options: Any) -> None:
            threads.append(threading.current_thread())
            super().__init__(*args, **options)

    draw = random.Random(7)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(5, 14))) for _ in range(60_000)]
    terms = sorted({f"{draw.choice(words)} {draw.choice(words)}" for _ in range(MAX_TERMS)})
    async with watched(file) as (source, seen):
        monkeypatch.setattr(compiled_lists.deny_list, "DenyList", Watched)
        (file.parent / "projects.txt").write_text("\n".join(terms))
        await seen.next()
        assert rewritten(source.current, "chat", f"of {terms[5]}!") == "of [LIST_PROJECTS]!"
    assert threads
    assert threading.main_thread() not in threads
