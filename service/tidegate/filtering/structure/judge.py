"""What is said of one response's structure: its parts are held to their schemas, and the first fault is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tidegate.filtering.formats.json_text import Path, quote
from tidegate.filtering.structure.answers import Part, parts
from tidegate.filtering.structure.demand import ENTITY, Act, Shape, Structure
from tidegate.filtering.structure.partial_json import PartialJson
from tidegate.filtering.structure.schema import parse
from tidegate.filtering.structure.strip import at, replaced, stripped, stripped_within
from tidegate.model import Finding
from tidegate.strict_json import BadJson


class Judge:
    """Holds a response to a `Structure`. `blocked` is the fault that withholds it, `verdict` the receipt's word.

    The verdict is "" while nothing was judged, then "valid", or where the first fault is: what was judged, then the
    place in its schema. Names that a model may have made up are no part of it.
    """

    def __init__(self, structure: Structure) -> None:
        self.structure = structure
        self.blocked: Finding | None = None
        self.verdict = ""
        self.findings: Counter[tuple[str, str]] = Counter()

    def document(self, text: str) -> str:
        """A whole body; what it is without what is stripped."""
        structure = self.structure
        try:
            value = parse(text)
            if structure.body is not None:
                text = self._held(structure.body, "body", text)
                value = parse(text)
        except BadJson as bad:
            self.broken("body", bad.reason)
            return text
        return self.parts(parts(value), text) if structure.inside else text

    def parts(self, found: Iterable[Part] | None, text: str) -> str:
        """The answers and calls of a document, None when nobody knows where it would have them; what is left of it."""
        if found is None:
            self.broken("answer", "unknown_api")
            return text
        strings: list[tuple[Path, str]] = []
        for part in found:
            if self.blocked is not None:
                break
            shape, name = self.shape_of(part)
            if shape is None:
                if part.kind == "call" and self.structure.others is not None:
                    self._fault(self.structure.others, f"{name}/unknown_tool")
            elif isinstance(part.value, str) and not part.plain:
                new = self._held(shape, name, part.value)
                if new != part.value:
                    strings.append((part.path, quote(new)))
            else:
                text = self._held_within(shape, name, text, part)
        return replaced(text, strings) if strings else text

    def text(self, part: Part, progress: PartialJson) -> str:
        """A text that came in pieces and is over, or cannot become what is demanded of it; what is left of it."""
        shape, name = self.shape_of(part)
        if shape is None or self.blocked is not None:
            return progress.text
        early = progress.state == "broken"
        if early or (progress.first and not shape.schema.may_begin(progress.first)):
            self._hold(shape, name, "json" if early else "schema/type")
            return progress.text
        return self._held(shape, name, progress.text)

    def broken(self, what: str, why: str) -> None:
        """A fault of the response as a whole, under whatever is strictest of the demands."""
        self._fault("block" if self.structure.enforced else "annotate", f"{what}/{why}")

    def shape_of(self, part: Part) -> tuple[Shape | None, str]:
        """The demand on a part, None when there is none, and what the part is called."""
        if part.kind == "answer":
            return self.structure.answer, "answer"
        named = self.structure.tools.get(part.name)
        return named, f"tools.{part.name}" if named is not None else "tools"

    def _held(self, shape: Shape, name: str, text: str) -> str:
        """A text, held to its shape; what is left of it."""
        fault = shape.schema.fault_of_text(text)
        if fault.startswith("schema") and shape.act == "strip":
            text, removed = stripped(shape.schema, text)
            fault = shape.schema.fault_of_text(text)
            self.findings[ENTITY, "strip"] += removed
        self._hold(shape, name, fault)
        return text

    def _held_within(self, shape: Shape, name: str, text: str, part: Part) -> str:
        """The same for an object that stands in a document."""
        fault = shape.schema.fault(part.value)
        if fault and shape.act == "strip" and isinstance(part.value, dict):
            text, removed = stripped_within(shape.schema, text, part.path)
            fault = shape.schema.fault(at(parse(text), part.path))
            self.findings[ENTITY, "strip"] += removed
        self._hold(shape, name, fault)
        return text

    def _hold(self, shape: Shape, name: str, fault: str) -> None:
        if fault:
            self._fault(shape.act, f"{name}/{fault}")
        else:
            self.verdict = self.verdict or "valid"

    def _fault(self, act: Act, where: str) -> None:
        act = "block" if act == "strip" else act  # what is left does not match
        self.findings[ENTITY, act] += 1
        if self.verdict in ("", "valid"):
            self.verdict = where
        if act == "block" and self.blocked is None:
            self.blocked = Finding(ENTITY, act, where)
