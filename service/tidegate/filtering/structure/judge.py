"""What is said of one response's structure: its parts are held to their schemas, and the first fault is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tidegate.filtering.structure.answers import Part, parts
from tidegate.filtering.structure.demand import ENTITY, Act, Shape, Structure
from tidegate.filtering.structure.partial_json import PartialJson
from tidegate.filtering.structure.schema import parse
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

    def document(self, text: str) -> None:
        """A whole body."""
        structure = self.structure
        try:
            value = parse(text)
        except BadJson as bad:
            self.broken("body", bad.reason)
            return
        if structure.body is not None:
            self._hold(structure.body, "body", structure.body.schema.fault(value))
        if structure.inside:
            self.parts(parts(value))

    def parts(self, found: Iterable[Part] | None) -> None:
        """The answers and calls of a document; None when nobody knows where it would have them."""
        if found is None:
            self.broken("answer", "unknown_api")
            return
        for part in found:
            if self.blocked is None:
                self._part(part)

    def text(self, part: Part, progress: PartialJson) -> None:
        """A text that came in pieces and is over, or cannot become what is demanded of it."""
        shape, name = self.shape_of(part)
        if shape is None or self.blocked is not None:
            return
        early = progress.state == "broken"
        if early or (progress.first and not shape.schema.may_begin(progress.first)):
            self._hold(shape, name, "json" if early else "schema/type")
        else:
            self._hold(shape, name, shape.schema.fault_of_text(progress.text))

    def broken(self, what: str, why: str) -> None:
        """A fault of the response as a whole, under whatever is strictest of the demands."""
        self._fault("block" if self.structure.enforced else "annotate", f"{what}/{why}")

    def shape_of(self, part: Part) -> tuple[Shape | None, str]:
        """The demand on a part, None when there is none, and what the part is called."""
        if part.kind == "answer":
            return self.structure.answer, "answer"
        named = self.structure.tools.get(part.name)
        return named, f"tools.{part.name}" if named is not None else "tools"

    def _part(self, part: Part) -> None:
        shape, name = self.shape_of(part)
        if shape is not None:
            text = isinstance(part.value, str) and not part.plain
            self._hold(shape, name, (shape.schema.fault_of_text if text else shape.schema.fault)(part.value))
        elif part.kind == "call" and self.structure.others is not None:
            self._fault(self.structure.others, f"{name}/unknown_tool")

    def _hold(self, shape: Shape, name: str, fault: str) -> None:
        if fault:
            self._fault(shape.act, f"{name}/{fault}")
        else:
            self.verdict = self.verdict or "valid"

    def _fault(self, act: Act, where: str) -> None:
        self.findings[ENTITY, act] += 1
        if self.verdict in ("", "valid"):
            self.verdict = where
        if act == "block" and self.blocked is None:
            self.blocked = Finding(ENTITY, act, where)
