"""What the tests of the text rewriter share: plans, hostile texts, ways of cutting, and the meaning of filtering."""

from __future__ import annotations

from itertools import cycle, pairwise

from hypothesis import strategies as st
from tidegate.filtering import actions
from tidegate.filtering.canonical import constant
from tidegate.filtering.detector import Detector, Hit
from tidegate.filtering.detectors import DETECTORS, ENTITIES, rows_of
from tidegate.filtering.offsets import Offsets
from tidegate.filtering.pseudonyms import ScopeKeys
from tidegate.filtering.rewriter import TextRewriter
from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.filtering.view import fold
from tidegate.model import Finding

from tests.filtering.disguises import CODES, WAYS, encoded, escaped
from tests.filtering.otherwise import Chain, written_otherwise

KEY = b"k"
SCOPES = ScopeKeys(b"response", b"conversation", b"tenant")
PLANS = {action: FilterPlan(dict.fromkeys(ENTITIES, action), keys=SCOPES) for action in Action}
MIXED = FilterPlan(
    dict(
        zip(
            sorted(ENTITIES),
            cycle([Action.REDACT, Action.HASH, Action.MASK, Action.DROP, Action.ANNOTATE]),
            strict=False,
        )
    )
)
SINGLE = {entity: FilterPlan({entity: Action.REDACT}) for entity in ENTITIES}

VALUES = [value for row in DETECTORS for value in row.positives]
NEAR_MISSES = [value for row in DETECTORS for value in row.negatives]
PIECES = [
    *"0123456789aAkGsX .-()+:@/_=,\n\"'[]{}|\\",
    *"\u200b\u00ad\ufe0f\u0301\u00a0\u2013\u00e9\u7528\u3002\uff15\uff20\u0663\U0001f600\ud800",
    *("eyJ", "sk-", "-----BEGIN ", "PRIVATE KEY-----", "ghp_", "AKIA", "aws_secret_access_key", "GB82", "+1", "4111"),
    *("415", "::", "@a.co", ".com", "xoxb-"),
    *(
        "&",
        "&#",
        "&#6",
        "&#x4",
        "&#64;",
        "&#x200b;",
        "&shy;",
        "&commat;",
        "&amp;",
        "&nbsp;",
        ";",
        "%",
        "%4",
        "%40",
        "%25",
    ),
    *(
        "%2",
        "%20",
        "%e2%80%8b",
        "%F0%9D",
        "\\x",
        "\\x40",
        "\\u",
        "\\u0040",
        "\\ud835",
        "\\udc1a",
        "\\u{",
        "\\100",
        "\\5c",
    ),
]
PROSE = (
    "The model answered that the figures for 2024 rose by 3.5 percent, which is more than anyone expected; see 4.2.\n"
    "- first, open the file and read line 12\n- then call `rewrite(plan, text)` twice, on 2024-01-15T10:00:00Z.\n\n"
    "If that fails (it may), ask again: version 1.2.3.4.5 of the library costs $1,234.50 and has the id 1234567890123. "
)
LONG = [  # longer than the caps of the values without an end of their own
    "-----BEGIN PRIVATE KEY-----\n" + ("MIIEow\u00ad" * 9 + "\n") * 180 + "-----END PRIVATE KEY-----\nbob@example.com",
    "see ghp_" + "a1B2" * 200 + " now",
    "sk-proj-" + "a1B2" * 180 + "\u200b\u200bzz\u200b.",
    "eyJhbGciOiJIUzI1NiJ9.eyJ" + "YWJj" * 300 + "." + "s1g_" * 30 + " and bob@example.com",
    "a" * 200 + "@example.com " + "b" * 70 + "@" + "c." * 150 + "com",
    "1\u200b" * 60 + "4111" + "\u200b" * 40 + "1111 1111" + "\u0301" * 3 + "1111",
]
ESCAPED = [escaped(value, [kind], 3) for value, kind in zip(VALUES, cycle(WAYS), strict=False)]
ENCODED = [encoded(value, kind) for value, kind in zip(VALUES, cycle(CODES), strict=False)]
TEXTS = [*VALUES, *NEAR_MISSES, *(f"{one}{two}" for one, two in pairwise(VALUES)), *ESCAPED, *ENCODED, PROSE]


@st.composite
def _damaged(draw: st.DrawFn) -> str:
    """A value cut short, begun late, or with something put into it."""
    value = draw(st.sampled_from(VALUES))
    at = draw(st.integers(0, len(value)))
    return draw(st.sampled_from([value[:at], value[at:], value[:at] + draw(st.sampled_from(PIECES)) + value[at:]]))


@st.composite
def _encoded(draw: st.DrawFn) -> str:
    """A value, or what it stands in, in base64 or base16, whole or cut short."""
    value = draw(st.sampled_from(["", "It is ", "{'a': '"])) + draw(st.sampled_from(VALUES))
    value += draw(st.sampled_from(["", ", so", ",", "'}", " ", *VALUES[::7], *(f" {value}" for value in VALUES[::5])]))
    text = encoded(value, draw(st.sampled_from(sorted(CODES))))
    return text[draw(st.integers(0, 3)) : len(text) - draw(st.integers(0, 9))]


@st.composite
def _escaped(draw: st.DrawFn) -> str:
    """A value with some of its characters, or all, written as escapes of some kind."""
    value = draw(st.sampled_from(VALUES))
    kinds = draw(st.lists(st.sampled_from(sorted(WAYS)), min_size=1, max_size=3))
    return escaped(value, kinds, draw(st.sampled_from([1, 2, 3, 7])))


texts = st.lists(
    st.one_of(
        st.sampled_from(VALUES),
        st.sampled_from(NEAR_MISSES),
        _damaged(),
        _escaped(),
        _encoded(),
        st.sampled_from([" ", ", ", "\n", " and more prose "]),
        st.lists(st.sampled_from(PIECES), max_size=10).map("".join),
        st.builds(lambda char, count: char * count, st.sampled_from("a1 .-@A=\u00e9\u200b4("), st.integers(1, 90)),
        st.sampled_from(LONG[1:]),
    ),
    max_size=6,
).map("".join)


@st.composite
def cut_texts(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A text and one way of cutting it."""
    text = draw(texts)
    at = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return text, [text[start:end] for start, end in pairwise([0, *at, len(text)])]


def run(plan: FilterPlan, chunks: list[str]) -> tuple[str, dict[tuple[str, str], int], Finding | None]:
    """All that a rewriter makes of these chunks."""
    rewriter = TextRewriter(plan, key=KEY, where="$.a")
    out = "".join([rewriter.feed(chunk) for chunk in chunks] + [rewriter.finish()])
    assert rewriter.held == 0
    return out, dict(rewriter.findings), rewriter.blocked


def meaning(plan: FilterPlan, text: str) -> str:
    """What filtering means, without RE2, holding or streams: every position, every row in order, the first one wins.

    But no value hides another of a stricter action that begins inside of it: they are one.
    """
    plan = plan.parts[0]
    if all(action is Action.ANNOTATE for action in plan.actions.values()):
        return text
    folded = fold(text)
    text, offsets = folded.text, Offsets(folded.gaps)
    meant = _Meant(plan, folded.view)
    out, done, at = [], 0, 0
    while (hit := meant.first(at, len(folded.view))) is not None:
        worst, first, at, endless = meant.value(hit)
        out.append(text[done : offsets.start(first)])
        values = [(worst, first, at, endless)]
        if endless is not None:
            at, inner = meant.swallowed(at, endless)
            values += inner
        for worst, _, _, endless in values:
            action, entity = plan.actions[worst.detector.entity], worst.detector.entity
            value = worst.value or text[offsets.start(worst.start) : offsets.end(worst.end)]
            if action is Action.BLOCK:
                return "".join(out)
            if worst.over or endless is not None:
                out.append(constant(entity))
            elif action is Action.PSEUDONYMIZE:
                out.append(plan.stand_in(entity, value))
            else:
                out.append(actions.replacement(action, entity, value, KEY))
        done = offsets.end(at)
    return "".join([*out, text[done:]])


_Value = tuple[Hit, int, int, Detector | None]


class _Meant:
    """A view, and what begins where in it."""

    def __init__(self, plan: FilterPlan, view: bytes) -> None:
        self._actions = plan.actions
        self._rows = rows_of(frozenset(plan.actions), plan.regions)
        self._view = view
        self._chains = written_otherwise(view)

    def first(self, at: int, end: int, above: Action = Action.ANNOTATE) -> Hit | None:
        """The first value of a stricter action than that, decided from `at` on and before `end`."""
        rows = [row for row in self._rows if self._actions[row.entity] > above]
        hit = _first(rows, self._view, at, self._chains)
        return hit if hit is not None and hit.at < end else None

    def value(self, hit: Hit) -> _Value:
        """All that begins in the value, and in what does."""
        worst, start, end, endless = hit, hit.start, hit.end, hit.detector if hit.over else None
        at = hit.at
        while (more := self.first(at, end, self._act(hit.detector))) is not None:
            inner, first, at, on = self.value(more)
            start = min(start, first)
            if at >= end:
                end, endless = at, on or (endless if at == end else None)
            if self._act(inner.detector) > self._act(worst.detector):
                worst = inner
        return worst, start, end, endless

    def swallowed(self, at: int, endless: Detector) -> tuple[int, list[_Value]]:
        """How far an endless value goes on, with stricter ones in it that may be endless too."""
        rows, found = [endless], []
        while rows:
            ends = {row: on.end() if (on := row.swallow.match(self._view, at)) else at for row in rows}
            end = min(ends.values())
            hit = self.first(at, end, min(map(self._act, rows)))
            if hit is None:
                at, rows = end, [row for row in rows if ends[row] > end]
                continue
            found.append(self.value(hit))
            at, more = found[-1][2:]
            rows = [row for row in rows if ends[row] >= at] + ([more] if more else [])
        return at, found

    def _act(self, row: Detector) -> Action:
        return self._actions[row.entity]


def _first(rows: list[Detector], view: bytes, at: int, chains: list[Chain]) -> Hit | None:
    """The first value from `at` on; what is plainly there comes before what is encoded."""
    plain = (
        _named(rows, view, hit)
        for place in range(at, len(view))
        for row in rows
        if (hit := _decide(row, view, place)) is not None
    )
    found = [
        next(plain, None),
        *(chain.first(at, lambda part, place: _first(rows, part, place, [])) for chain in chains),
    ]
    return min((hit for hit in found if hit is not None), key=lambda hit: hit.at, default=None)


def _named(rows: list[Detector], view: bytes, hit: Hit) -> Hit:
    """A secret that a word tells of has the name of the first other row that takes all of it."""
    if hit.detector.entity != "GENERIC_SECRET":
        return hit
    for row in rows:
        found = row.exact.match(view, hit.start, hit.end)
        known = row.hit(view, hit.start, found) if found and row.entity != "GENERIC_SECRET" else None
        if known is not None and known[2:4] == hit[2:4]:
            return hit._replace(detector=row)
    return hit


def _decide(row: Detector, view: bytes, at: int) -> Hit | None:
    found = row.exact.match(view, at, at + row.cap)
    return row.hit(view, at, found) if found else None
