"""The most specific declared path wins, and within it the host's own declaration."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.policy.compiled import Endpoint
from tidegate.policy.routes import Routes, bind, segments


def endpoint(path: str, *hosts: str, method: str = "GET") -> Endpoint:
    name = f"{','.join(hosts) or '*'} {path} {method}"
    return Endpoint(name, "acme", frozenset(hosts or ("*",)), path, frozenset({method}))


ROUTES = Routes(
    [
        endpoint("/**"),
        endpoint("/v1/**"),
        endpoint("/v1/models"),
        endpoint("/v1/models", "a.example"),
        endpoint("/v1/models", "a.example", method="POST"),
        endpoint("/v1/{kind}"),
        endpoint("/v1/{kind}/list"),
        endpoint("/v1/models/{name}"),
        endpoint("/v1/models/{name}/versions/{version}"),
        endpoint("/v1/models/{name}/**", "a.example"),
        endpoint("/v1/models/"),
    ]
)


@pytest.mark.parametrize(
    ("host", "path", "wanted"),
    [
        ("b.example", "/v1/models", "* /v1/models GET"),
        ("a.example", "/v1/models", "a.example /v1/models GET"),
        ("b.example", "/v1/models/", "* /v1/models/ GET"),
        ("b.example", "/v1/other", "* /v1/{kind} GET"),
        ("b.example", "/v1/", "* /v1/** GET"),
        ("b.example", "/v1", "* /** GET"),
        ("b.example", "/", "* /** GET"),
        ("b.example", "/v1/models/list", "* /v1/models/{name} GET"),
        ("b.example", "/v1/other/list", "* /v1/{kind}/list GET"),
        ("b.example", "/v1/models/x/versions/2", "* /v1/models/{name}/versions/{version} GET"),
        ("a.example", "/v1/models/x/versions/2", "* /v1/models/{name}/versions/{version} GET"),
        ("b.example", "/v1/models/x/versions", "* /v1/** GET"),
        ("a.example", "/v1/models/x/versions", "a.example /v1/models/{name}/** GET"),
        ("b.example", "/v1//list", "* /v1/** GET"),
        ("b.example", "/v1/{kind}", "* /v1/{kind} GET"),
        ("b.example", "/V1/models", "* /** GET"),
        ("b.example", "v1/models", None),
        ("b.example", "", None),
    ],
)
def test_matching(host: str, path: str, wanted: str | None) -> None:
    found = ROUTES.match(host, path)
    assert (found[0].name if found else None) == wanted


def test_endpoints_that_differ_in_method_share_a_match() -> None:
    assert [found.name for found in ROUTES.match("a.example", "/v1/models")] == [
        "a.example /v1/models GET",
        "a.example /v1/models POST",
    ]


def test_a_host_without_a_declaration_matches_nothing() -> None:
    routes = Routes([endpoint("/x", "a.example"), endpoint("/x/{y}", "a.example"), endpoint("/z/**", "a.example")])
    for path in ("/x", "/x/y", "/z/y"):
        assert routes.match("a.example", path)
        assert not routes.match("b.example", path)
        assert not routes.match("*", "/y")


def test_variables_take_whole_segments() -> None:
    assert bind("/v1/{a}/x/{b}/**", "/v1/p/x/q/r/s") == {"a": "p", "b": "q"}


_SEGMENT = st.sampled_from(["a", "b", "{x}", "**"])


def oracle(template: str, path: str) -> bool:
    wanted, given_ = segments(template), segments(path)
    if wanted[-1] == "**":
        wanted, given_ = wanted[:-1], (given_[: len(wanted) - 1] if len(given_) >= len(wanted) else [])
        if not given_ and wanted:
            return False
    return len(wanted) == len(given_) and all(
        w == g or (w.startswith("{") and g != "") for w, g in zip(wanted, given_, strict=True)
    )


def rank(template: str) -> tuple[bool, list[int]]:
    parts = segments(template)
    return ("{x}" in parts or "**" in parts, [{"{x}": 1, "**": 2}.get(part, 0) for part in parts])


_TEMPLATES = st.lists(st.sampled_from(["a", "b", "{x}"]), min_size=1, max_size=4).flatmap(
    lambda parts: st.sampled_from(["/" + "/".join(parts), "/" + "/".join([*parts[:-1], "**"])])
)


@settings(deadline=None)
@given(st.sets(_TEMPLATES, max_size=12), st.lists(st.sampled_from(["a", "b", "c", ""]), min_size=1, max_size=5))
def test_the_tree_finds_what_comparing_every_template_would(templates: set[str], parts: list[str]) -> None:
    path = "/" + "/".join(parts)
    found = Routes([endpoint(template) for template in sorted(templates)]).match("h", path)
    fitting = sorted((template for template in templates if oracle(template, path)), key=rank)
    assert [e.path for e in found] == fitting[:1]
