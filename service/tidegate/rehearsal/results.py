"""What became of golden cases: for people, for programs, and as JUnit XML, which CI systems read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

from tidegate.rehearsal.cases import Result
from tidegate.rehearsal.report import verdict_line, verdict_record

_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def text(results: Sequence[Result]) -> str:
    """The cases that failed, each with its place and its differences, and how many passed."""
    return "\n".join(_lines(results))


def record(results: Sequence[Result]) -> dict[str, Any]:
    """The same for JSON, with the verdict of every case."""
    failed = sum(bool(result.differences) for result in results)
    return {
        "passed": len(results) - failed,
        "failed": failed,
        "cases": [
            {
                "name": result.case.name,
                "file": result.case.file,
                "line": result.case.line,
                "passed": not result.differences,
                "differences": [
                    {"key": one.key, "expected": one.expected, "was": one.was} for one in result.differences
                ],
                "verdict": verdict_record(result.explanation),
            }
            for result in results
        ],
    }


def junit(results: Sequence[Result]) -> str:
    """JUnit XML: one suite a file, one testcase a case."""
    suites: dict[str, list[Result]] = {}
    for result in results:
        suites.setdefault(result.case.file, []).append(result)
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<testsuites {_counts(results)}>"]
    for file, found in suites.items():
        lines.append(f"  <testsuite name={_attribute(file)} {_counts(found)}>")
        lines += [line for result in found for line in _testcase(result)]
        lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>", ""])


def _lines(results: Sequence[Result]) -> Iterator[str]:
    failed = [result for result in results if result.differences]
    for result in failed:
        yield f"{result.case.file}:{result.case.line}: {result.case.name}"
        for line in _account(result):
            yield f"    {line}"
    yield f"{len(results) - len(failed)} passed, {len(failed)} failed"


def _account(result: Result) -> Iterator[str]:
    for one in result.differences:
        yield f"{one.key}: expected {one.expected or 'none'}, was {one.was or 'none'}"
    yield f"decided: {verdict_line(result.explanation)}"
    step = result.explanation.steps[-1]
    if step.outcome == "refuses":
        yield f"by {step.rule}: {step.says}"
        for part in step.parts:
            yield f"  {part}"


def _testcase(result: Result) -> Iterator[str]:
    case = result.case
    head = f"    <testcase name={_attribute(case.name)} classname={_attribute(case.file)}"
    head += f' file={_attribute(case.file)} line="{case.line}"'
    if not result.differences:
        yield f"{head}/>"
        return
    yield f"{head}>"
    yield f"      <failure message={_attribute('; '.join(_account(result)))}/>"
    yield "    </testcase>"


def _counts(results: Sequence[Result]) -> str:
    failed = sum(bool(result.differences) for result in results)
    return f'tests="{len(results)}" failures="{failed}"'


def _attribute(value: str) -> str:
    return quoteattr(_NOT_XML.sub("\ufffd", value))
