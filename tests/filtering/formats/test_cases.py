"""The golden cases: what goes in, what comes out, what the receipt says, at once and byte by byte."""

from __future__ import annotations

from typing import Any

import pytest

from tests.filtering.formats.bodies import body, cases, drive

KINDS = ("csv", "json", "ndjson", "sse")
CASES = [(kind, case) for kind in KINDS for case in cases(f"formats_{kind}")]


@pytest.mark.parametrize(("kind", "case"), CASES, ids=[f"{kind}: {case['name']}" for kind, case in CASES])
def test_case(kind: str, case: dict[str, Any]) -> None:
    data = case["in"].encode()
    want = case.get("want", "" if "fails" in case else case["in"])
    for pieces in ([data], [data[i : i + 1] for i in range(len(data))]):
        rewriter = body(kind)
        out, failure = drive(rewriter, pieces)
        assert out.decode() == want
        assert failure == case.get("fails", "")
        receipt = rewriter.coverage()
        assert receipt.failure == failure
        assert receipt.scanned_bytes + receipt.skipped_bytes == len(data) or failure
        assert 0 <= receipt.scanned_bytes <= len(data)
        if "unread" in case:
            assert dict(receipt.skipped) == case["unread"]
        if "findings" in case:
            assert {entity: n for (entity, _), n in receipt.findings.items()} == case["findings"]


def test_names_of_cases_are_unique() -> None:
    for kind in KINDS:
        names = [case["name"] for case in cases(f"formats_{kind}")]
        assert len(names) == len(set(names))
