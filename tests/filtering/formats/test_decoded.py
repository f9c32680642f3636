"""Compressed bodies: read as what they hold under a cap of what they may hold, and never passed unread."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from itertools import chain

import brotli
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.errors import BodyTooLarge, MalformedBody
from tidegate.filtering.formats import BodyRewriter, decoded, decodes
from tidegate.filtering.formats.coding import PIECE, decoder_of
from tidegate.filtering.formats.decoded import ALLOWANCE, MAX_RATIO

from tests.filtering.formats.bodies import BLOCK, PLAN, body, cut, drive
from tests.filtering.formats.events import chat, frame
from tests.filtering.formats.texts import PLACES, TEXTS


def raw_deflate(data: bytes) -> bytes:
    coder = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return coder.compress(data) + coder.flush()


CODERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "gzip, stored": ("x-gzip", lambda data: gzip.compress(data, 0)),
    "deflate": ("deflate", zlib.compress),
    "deflate, raw": ("Deflate", raw_deflate),
    "br": ("br", brotli.compress),
}
each_coding = pytest.mark.parametrize("coding", CODERS)


def opened(coding: str, kind: str, plan: object = PLAN, **options: int) -> BodyRewriter:
    return decoded(body(kind, plan, **options), CODERS[coding][0])  # type: ignore[arg-type]


def sample(kind: str, text: str) -> bytes:
    match kind:
        case "json":
            return json.dumps({"a": text, "b": [1.0]}).encode()
        case "sse":
            return frame(chat("content")(text)) + frame(chat("content")(" end")) + frame("[DONE]")
        case "ndjson":
            return json.dumps({"response": text, "done": False}).encode() + b"\n"
    return text.encode()


@each_coding
@settings(deadline=None)
@given(st.sampled_from(["json", "ndjson", "sse", "text"]), TEXTS, PLACES)
def test_what_leaves_is_what_an_uncompressed_body_would_give_however_it_is_cut(
    coding: str, kind: str, text: str, places: list[int]
) -> None:
    plain = sample(kind, text)
    packed = CODERS[coding][1](plain)
    reference = body(kind)
    want = drive(reference, [plain])
    for pieces in ([packed], cut(packed, places), [packed[i : i + 1] for i in range(len(packed))]):
        rewriter = opened(coding, kind)
        assert drive(rewriter, pieces) == want
        assert rewriter.coverage() == reference.coverage()
        assert rewriter.coverage().scanned_bytes + rewriter.coverage().skipped_bytes == len(plain)


@each_coding
@settings(deadline=None)
@given(st.data())
def test_a_body_that_is_cut_off_is_malformed(coding: str, data: st.DataObject) -> None:
    packed = CODERS[coding][1](sample("json", "bob@example.com"))
    end = data.draw(st.integers(0, len(packed) - 1))
    rewriter = opened(coding, "json")
    assert drive(rewriter, [packed[:end]]) == (b"", "malformed")
    assert rewriter.coverage().failure == "malformed"


@each_coding
@settings(deadline=None)
@given(st.binary(min_size=1, max_size=30) | st.sampled_from([b"\0" * 70_000, b"\n"]), PLACES)
def test_bytes_after_the_end_are_malformed(coding: str, junk: bytes, places: list[int]) -> None:
    packed = CODERS[coding][1](sample("json", "bob@example.com"))
    for pieces in ([packed, junk], [packed + junk], cut(packed + junk, places)):
        assert drive(opened(coding, "json"), pieces) == (b"", "malformed")


def test_a_second_gzip_member_is_malformed() -> None:
    """Some readers stop after the first one, some go on: what a client would have seen is not known."""
    packed = gzip.compress(b'{"a":') + gzip.compress(b'"bob@example.com"}')
    assert drive(opened("gzip", "json"), [packed]) == (b"", "malformed")


@each_coding
@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4000), st.binary(max_size=3)), min_size=1, max_size=3), PLACES)
def test_damage_never_lets_a_value_out(coding: str, damage: list[tuple[int, bytes]], places: list[int]) -> None:
    packed = CODERS[coding][1](sample("sse", "bob@example.com " * 3))
    for place, junk in damage:
        at = place % (len(packed) + 1)
        packed = packed[:at] + junk + packed[at + 1 :]
    out, _ = drive(opened(coding, "sse"), cut(packed, places))
    assert b"bob@example.com" not in out


@given(st.binary(max_size=200))
def test_what_is_not_compressed_is_malformed(data: bytes) -> None:
    for coding in CODERS:
        assert drive(opened(coding, "text"), [b"\xff\xff" + data])[1] == "malformed"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "deflate, raw", "br"])
def test_a_bomb_is_stopped_before_it_is_much(coding: str) -> None:
    packed = CODERS[coding][1](b" " * (64 << 20))
    rewriter = opened(coding, "text")
    out, failure = drive(rewriter, [packed[i : i + 1024] for i in range(0, len(packed), 1024)])
    assert failure == "too_large"
    assert len(out) <= ALLOWANCE + MAX_RATIO * len(packed)
    assert rewriter.coverage().failure == "too_large"


@each_coding
def test_no_input_makes_more_than_a_piece_at_once(coding: str) -> None:
    packed = CODERS[coding][1](b"x" * (4 << 20))
    decoder = decoder_of(CODERS[coding][0])
    assert decoder is not None
    sizes = [len(piece) for piece in decoder.feed(packed)]
    decoder.finish()
    assert sum(sizes) == 4 << 20
    assert max(sizes) <= 2 * PIECE


@each_coding
def test_the_cap_of_a_document_counts_what_it_holds(coding: str) -> None:
    rewriter = opened(coding, "json", max_bytes=1000)
    assert drive(rewriter, [CODERS[coding][1](json.dumps(["x" * 2000]).encode())]) == (b"", "too_large")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "deflate, raw"])
def test_a_stream_that_is_flushed_is_live(coding: str) -> None:
    wbits = {"gzip": 31, "deflate": 15, "deflate, raw": -15}[coding]
    coder = zlib.compressobj(wbits=wbits)
    rewriter = opened(coding, "text")
    assert rewriter.streaming
    sent = (b"Hello, you. Write to bob@", b"example.com, please. ")
    flushed = [coder.compress(text) + coder.flush(zlib.Z_SYNC_FLUSH) for text in sent]
    assert [rewriter.feed(data) for data in flushed] == [b"Hello, you. Write to ", b"[EMAIL], please. "]
    rewriter.feed(coder.flush())
    assert rewriter.finish() == b""


def test_a_brotli_stream_that_is_flushed_is_live() -> None:
    coder = brotli.Compressor()
    rewriter = opened("br", "text")
    sent = (b"Hello, you. Write to bob@", b"example.com, please. ")
    flushed = [coder.process(text) + coder.flush() for text in sent]
    assert [rewriter.feed(data) for data in flushed] == [b"Hello, you. Write to ", b"[EMAIL], please. "]
    rewriter.feed(coder.finish())
    assert rewriter.finish() == b""


def test_what_precedes_a_fault_leaves_first() -> None:
    rewriter = opened("gzip", "text")
    coder = zlib.compressobj(wbits=31)
    good = coder.compress(b"fine, ") + coder.flush(zlib.Z_SYNC_FLUSH)
    assert rewriter.feed(good) == b"fine, "
    with pytest.raises(MalformedBody):
        rewriter.feed(b"\xff" * 20)
    assert rewriter.feed(b"more") == rewriter.finish() == b""


def test_nothing_follows_a_block() -> None:
    rewriter = opened("gzip", "text", BLOCK)
    assert rewriter.feed(gzip.compress(b"Write to bob@example.com, " + b"x" * 200_000)) == b"Write to "
    assert rewriter.blocked is not None
    assert rewriter.feed(b"more") == rewriter.finish() == b""
    assert rewriter.abort("content_blocked", "x") == b""
    assert rewriter.coverage().failure == "content_blocked"


@pytest.mark.parametrize(
    "value", ["", "identity", "gzip, gzip", "gzip, identity", "identity, gzip", "zstd", "compress", "gzip;q=1", "g zip"]
)
def test_an_unknown_coding_or_several_are_not_undone(value: str) -> None:
    assert not decodes(value)
    with pytest.raises(ValueError, match="no decoder"):
        decoded(body("json"), value)


def test_work_grows_with_what_comes_and_not_with_how_it_is_cut() -> None:
    """Byte by byte, each byte is decoded once: the pieces of all of them add up to the text."""
    packed = gzip.compress(bytes(chain.from_iterable((n % 26 + 97, 32) for n in range(50_000))))
    decoder = decoder_of("gzip")
    assert decoder is not None
    assert sum(len(piece) for byte in packed for piece in decoder.feed(bytes([byte]))) == 100_000


def test_too_much_in_one_call_is_raised_by_the_next_when_something_leaves() -> None:
    rewriter = opened("gzip", "text")
    assert len(rewriter.feed(gzip.compress(b"a " * (32 << 20)))) > 0
    with pytest.raises(BodyTooLarge):
        rewriter.finish()
