"""Conditions of grants and denies: CEL (Common Expression Language) over who calls and what is asked, cut down.

CEL is total: it has no loops but over lists, no side effects and no recursion, and it is type-checked here when the
policy is loaded. What it has and conditions do not is what makes a small expression expensive: `+`, which grows texts
and lists, lists walked within lists, texts of the caller's searched for in others, and counted repetition in patterns.
What is left, of at most 512 characters, takes a time that is linear in the claims. Google's runtime evaluates it;
patterns are RE2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from tidegate.model import Identity, Request

MAX_LENGTH: Final = 512
_MACROS: Final = frozenset({"all", "exists", "exists_one"})
_SEARCHES: Final = frozenset({"contains", "matches"})
_ROOTS: Final = frozenset({"claims", "caller", "request"})
_FUNCTIONS: Final = (
    frozenset({"has", "size", "startsWith", "endsWith", "contains", "matches", "int", "double"}) | _MACROS
)
_TOKEN: Final = re.compile(
    r"""(?P<space>[ \t\r\n]+)
      |(?P<text>(?:"(?:[^"\\\r\n]|\\.)*"|'(?:[^'\\\r\n]|\\.)*'))
      |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
      |(?P<number>(?:0x[0-9A-Fa-f]+|[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)u?)
      |(?P<sign>&&|\|\||[=!<>]=|[-!<>?:.,()\[\]])""",
    re.VERBOSE,
)
_PLACE: Final = re.compile(r"(?:ERROR: )?<input>:([0-9]+):([0-9]+): (.*)")

_Value = Callable[[Identity, Request, str], Any]
VARIABLES: Final[Mapping[str, tuple[str, _Value]]] = {
    "claims": ("claims", lambda identity, request, endpoint: _thawed(identity.claims)),
    "caller.subject": ("string", lambda identity, request, endpoint: identity.subject),
    "caller.tenant": ("string", lambda identity, request, endpoint: identity.tenant),
    "caller.tier": ("string", lambda identity, request, endpoint: identity.tier),
    "caller.client_id": ("string", lambda identity, request, endpoint: identity.client_id),
    "caller.method": ("string", lambda identity, request, endpoint: identity.method),
    "caller.roles": ("strings", lambda identity, request, endpoint: sorted(identity.roles)),
    "caller.scopes": ("strings", lambda identity, request, endpoint: sorted(identity.scopes)),
    "request.endpoint": ("string", lambda identity, request, endpoint: endpoint),
    "request.method": ("string", lambda identity, request, endpoint: request.method),
    "request.host": ("string", lambda identity, request, endpoint: request.host),
    "request.path": ("string", lambda identity, request, endpoint: request.path),
    "request.client_ip": ("string", lambda identity, request, endpoint: request.client_ip),
}
"""What a condition may read, with its type: of the caller, of the request, and the claims of its token."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition, compiled. Two are equal when they are written alike."""

    source: str
    _program: Any = field(repr=False, compare=False)
    _reads: tuple[tuple[str, _Value], ...] = field(repr=False, compare=False)

    def evaluate(self, identity: Identity, request: Request, endpoint: str) -> bool | None:
        """Whether it holds; None where that cannot be told, as for a claim that is not there."""
        try:
            data = {name: value(identity, request, endpoint) for name, value in self._reads}
            answer = self._program.eval(data=data).value()
        except Exception:  # noqa: BLE001 - whatever a claim did to the runtime: nobody is let in by it
            return None
        return answer if isinstance(answer, bool) else None

    def holds(self, identity: Identity, request: Request, endpoint: str, *, unknown: bool) -> bool:
        """`evaluate`, where `unknown` is what counts when it cannot be told."""
        answer = self.evaluate(identity, request, endpoint)
        return unknown if answer is None else answer


def condition(source: str) -> Condition:
    """Compile a condition. Raises ValueError with what is wrong with it, and the column."""
    if len(source) > MAX_LENGTH:
        raise ValueError(f"must not be longer than {MAX_LENGTH} characters")
    _refuse_what_is_expensive(source)
    bool_type, environment = _environment()
    try:
        program = environment.compile(source)
    except Exception as error:  # noqa: BLE001 - the runtime's errors have no type of their own
        raise ValueError(_explained(str(error))) from None
    if program.return_type() != bool_type:
        raise ValueError("must be true or false; compare what it gives, as in claims.admin == true")
    return Condition(source, program, tuple((name, value) for name, (_, value) in VARIABLES.items() if name in source))


@cache
def _environment() -> tuple[Any, Any]:
    from cel_expr_python import cel  # the runtime is 14 MB, and most policies have no conditions

    kinds = {
        "string": cel.Type.STRING,
        "strings": cel.Type.List(cel.Type.STRING),
        "claims": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
    }
    return cel.Type.BOOL, cel.NewEnv(variables={name: kinds[kind] for name, (kind, _) in VARIABLES.items()})


def _refuse_what_is_expensive(source: str) -> None:
    tokens = [*_tokens(source), ("end", ""), ("end", "")]
    depth, walk = 0, 0  # in how many brackets, and in how many the macro is whose argument this is, if any
    for index, (kind, text) in enumerate(tokens[:-2]):
        if text in ("(", "["):
            depth += 1
        elif text in (")", "]"):
            depth -= 1
            walk = walk if depth >= walk else 0
        if kind != "name":
            continue
        if walk and text in _ROOTS | _MACROS and tokens[index - 1][1] != ".":
            raise ValueError(f"{text} may not stand inside all, exists or exists_one: only what they walk over")
        if tokens[index + 1][1] != "(" or text == "in":
            continue
        if text not in _FUNCTIONS:
            raise ValueError(f"{text}() is not for conditions; known here: {', '.join(sorted(_FUNCTIONS))}")
        if text in _MACROS:
            if walk:
                raise ValueError(f"{text}() may not stand inside all, exists or exists_one")
            walk = depth + 1
        if text in _SEARCHES and (tokens[index + 2][0] != "text" or tokens[index + 3][1] != ")"):
            raise ValueError(f"{text}() takes one text, written out")
        if text == "matches":
            _check_pattern(tokens[index + 2][1])


def _check_pattern(written: str) -> None:
    if "{" in written:
        raise ValueError("a pattern may not count, as in x{3}: that makes long work of a short one")
    try:
        answer = _environment()[1].compile(f'"".matches({written})').eval(data={}).value()
    except Exception:  # noqa: BLE001 - no text at all: the whole condition is refused for it
        return
    if not isinstance(answer, bool):
        raise ValueError("the pattern of matches() is none (RE2)")


def _tokens(source: str) -> Iterator[tuple[str, str]]:
    """The tokens of a condition. Raises ValueError for what is none, or none of conditions."""
    at, last = 0, ""
    while at < len(source):
        found = _TOKEN.match(source, at)
        if found is None:
            raise ValueError(f"column {at + 1}: {source[at]!r} is not for conditions")
        kind = str(found.lastgroup)
        if kind == "text" and last in ("name", "text"):  # r"…", b"…" and triple quotes, which CEL reads by other rules
            raise ValueError(f"column {at + 1}: a text is in one pair of quotes, and has nothing before them")
        at, last = found.end(), kind
        if kind != "space":
            yield kind, found[0]


def _explained(error: str) -> str:
    """The first fault that the runtime names, in a line."""
    found = _PLACE.search(error)
    if found is None:
        return "is nested too deep" if "recursion" in error else "is not an expression"
    line, column, message = found.groups()
    message = re.sub(r" \(in container ''\)|, expecting .*| expecting \{.*", "", message).partition(" [")[0]
    known = f"; known here: {', '.join(VARIABLES)}" if message.startswith("undeclared") else ""
    return f"{f'line {line}, ' if line != '1' else ''}column {column}: {message}{known}"


def _thawed(value: Any) -> Any:
    """Claims as the runtime takes them: an identity's are frozen, as mapping proxies and tuples."""
    if isinstance(value, Mapping):
        return {key: _thawed(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_thawed(inner) for inner in value]
    return value
