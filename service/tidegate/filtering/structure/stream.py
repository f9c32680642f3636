"""An event stream, or a stream of lines, whose answers and tool calls are held to a structure while they come.

An event leaves when what it brings may still become valid; the one that completes a document is judged before it
leaves. So no invalid answer leaves whole: its stream ends with an error in place of its last piece. Only a number or
literal by itself, which may always go on, and what fields may be stripped of, are held until their text is over.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal

from tidegate.errors import BodyTooLarge, MalformedBody
from tidegate.filtering.formats.body import BodyRewriter
from tidegate.filtering.formats.coverage import Coverage, Progress
from tidegate.filtering.formats.dialect import Channel, Reading, read
from tidegate.filtering.formats.json_text import BLANK, Path, quote
from tidegate.filtering.formats.open_channels import ALL, OpenChannels
from tidegate.filtering.formats.sse_error import DONE
from tidegate.filtering.structure.answers import Part
from tidegate.filtering.structure.channels import call_of, is_known, kind_of, named, objects, whole_parts
from tidegate.filtering.structure.demand import Structure
from tidegate.filtering.structure.judge import Judge
from tidegate.filtering.structure.partial_json import PartialJson
from tidegate.filtering.structure.receipt import judged
from tidegate.filtering.structure.schema import parse
from tidegate.filtering.structure.strip import at, replaced
from tidegate.filtering.structure.units import Unit, Units
from tidegate.model import Finding
from tidegate.strict_json import BadJson

_Held = tuple[Unit, list[tuple[Path, Channel]]]
"""A unit that waits, and the pieces in it."""
_OVERHEAD: Final = 256  # what an event that is held costs besides itself, roughly
_OPEN: Final = 1024  # and a text, or a name


class StructuredStream:
    """One stream. `max_bytes` caps what is kept of texts that are not over. What only annotates holds nothing."""

    streaming = True

    def __init__(
        self,
        body: BodyRewriter,
        structure: Structure,
        kind: Literal["sse", "ndjson"],
        *,
        max_bytes: int,
        max_unit: int = 262144,
    ) -> None:
        self._body = body
        self._judge = Judge(structure)
        self._enforced = structure.enforced
        self._units = Units(kind, max_unit=min(max_unit, max_bytes))
        self._max_bytes = max_bytes
        self._kept = 0
        self._texts: dict[Channel, tuple[Part, PartialJson]] = {}
        self._names: dict[Channel, str] = {}
        self._unnamed: set[Channel] = set()  # calls whose arguments came before a name
        self._silent: dict[Channel, Part] = {}  # calls whose arguments have not come
        self._open = OpenChannels()  # of texts that are not over, and silent calls
        self._waiting: set[Channel] = set()  # of texts that are held until they are over
        self._held: list[_Held] = []
        self._left: dict[Channel, str] = {}  # what is left of texts whose fields are stripped
        self._answered = False  # an answer, a call or a refusal was seen
        self._over = False
        self._fault: MalformedBody | BodyTooLarge | None = None
        self._failure = ""
        if structure.body is not None:
            self._judge.broken("body", "stream")

    @property
    def blocked(self) -> Finding | None:
        """What ended the stream, if something did."""
        return self._body.blocked or self._judge.blocked

    def feed(self, data: bytes) -> bytes:
        """What leaves of the units that `data` completes. Raises MalformedBody, BodyTooLarge."""
        if self._over:
            return self._raise() if self._enforced else self._body.feed(data)
        return self._take(self._body.feed(data), end=False)

    def finish(self) -> bytes:
        """The last unit, and what is still held, if all that is not over may end here."""
        if self._over:
            return self._raise() if self._enforced else self._body.finish()
        return self._take(self._body.finish(), end=True)

    @property
    def progress(self) -> Progress:
        """How far the texts have come that come in pieces."""
        return self._body.progress

    def coverage(self) -> Coverage:
        """The receipt so far."""
        return judged(self._body.coverage(), self._judge, failure=self._failure)

    def abort(self, code: str, message: str) -> bytes:
        """The dialect's own ending."""
        self._over = True
        self._fault = None
        self._failure = self._failure or code
        self._body.abort(code, message)
        return self._units.error(code, message)

    def _take(self, data: bytes, *, end: bool) -> bytes:
        out: list[str] = []
        try:
            self._go(self._units.feed(data), out)
            if end and not self._over and self._body.blocked is None:
                self._go(self._units.finish(), out)
                self._end(out)
        except (MalformedBody, BodyTooLarge) as fault:
            self._over = True
            self._failure = "malformed" if isinstance(fault, MalformedBody) else "too_large"
            self._fault = fault if self._enforced else None
        if not self._enforced:
            return data
        return "".join(out).encode() or self._raise()

    def _go(self, units: Iterable[Unit], out: list[str]) -> None:
        for unit in units:
            held = self._unit(unit)
            if self._judge.blocked is not None:
                self._over = True
                return
            if self._enforced:
                self._held.append(held)
                self._kept += _size(held)
                if self._kept > self._max_bytes:
                    raise BodyTooLarge(f"more than {self._max_bytes} characters of answers that are not over")
            if not self._waiting:
                self._release(out)

    def _end(self, out: list[str]) -> None:
        """Nothing follows."""
        self._finish(ALL)
        if self._judge.structure.answer is not None and not self._answered and self._judge.blocked is None:
            self._judge.broken("answer", "json")
        self._over = True
        if self._judge.blocked is None:
            self._release(out)

    def _release(self, out: list[str]) -> None:
        for unit, pieces in self._held:
            texts: list[tuple[Path, str]] = []
            for path, channel in pieces:
                if channel in self._left:  # all of what is left stands in the first piece
                    texts.append((path, quote(self._left[channel])))
                    self._left[channel] = ""
            if texts and unit.payload is not None:
                unit = unit._replace(payload=replaced(unit.payload, texts))
            out.append(self._units.write(unit))
            self._kept -= _size((unit, pieces))
        self._held = []

    def _unit(self, unit: Unit) -> _Held:
        if unit.payload is None or not self._judge.structure.inside:
            return unit, []
        if unit.payload.strip(BLANK) == DONE:
            self._finish(ALL)
            return unit, []
        try:
            document = parse(unit.payload)
        except BadJson as bad:
            self._judge.broken("answer", bad.reason if unit.payload.lstrip(BLANK)[:1] in ("{", "[") else "unknown_api")
            return unit, []
        self._units.speech.document(document)
        reading = read(document)
        if not reading.pieces and not reading.ends and not is_known(document):
            self._judge.broken("answer", "unknown_api")
            return unit, []
        return unit._replace(payload=self._event(document, reading, unit.payload)), list(reading.pieces.items())

    def _event(self, document: Any, reading: Reading, payload: str) -> str:
        if isinstance(document, dict):
            for keys, name in named(document):
                self._name(keys, name)
        for path, channel in reading.pieces.items():
            self._piece(channel, at(document, path))
        if isinstance(document, dict):
            whole = list(whole_parts(document, self._names))
            for key, part in objects(document):
                whole.append(part._replace(name=self._speaks(key)))
            self._answered = self._answered or bool(whole) or bool(document.get("error"))
            payload = self._judge.parts(whole, payload)
        self._finish(reading.ends)
        return payload

    def _name(self, keys: tuple[Channel, ...], name: str) -> None:
        """A call begins. Its tool must be known by now, for its arguments may never come."""
        fresh = [key for key in keys if key not in self._names]
        if any(self._names.setdefault(key, name) != name for key in keys):
            self._judge.broken("tools", "two_names")
        if not fresh:
            return
        self._answered = True
        self._keep(_OPEN * len(fresh))
        part = Part("call", (), "", name)
        shape, _ = self._judge.shape_of(part)
        if not self._unnamed.isdisjoint(keys):
            if shape is not None:  # which nobody has held them to
                self._judge.broken("tools", "late_name")
        elif shape is None:
            self._judge.parts([part], "")
        elif keys[0][0] != "item":  # which comes once more, whole
            self._silent[keys[0]] = part
            self._open.add(keys[0])

    def _piece(self, channel: Channel, text: Any) -> None:
        kind = kind_of(channel)
        if not isinstance(text, str) or kind == "other" or not (text or channel in self._texts):
            return
        self._answered = True
        if kind == "refusal":
            return
        if channel not in self._texts:
            self._begin(channel, kind)
        part, progress = self._texts[channel]
        shape, _ = self._judge.shape_of(part)
        if shape is None or progress.state == "broken":
            return
        self._keep(len(text))
        was = progress.state
        state = progress.feed(text)
        wrong = progress.first != "" and not shape.schema.may_begin(progress.first)
        if (state == "done" and was != "done") or state == "broken" or wrong:
            self._over_with(channel, part, progress)
            if wrong:
                progress.state = "broken"
        elif state == "scalar" or (shape.act == "strip" and state == "open" and progress.first):
            self._waiting.add(channel)  # it may go on, or something may be taken out of it

    def _begin(self, channel: Channel, kind: Literal["answer", "call"]) -> None:
        self._keep(_OPEN)
        name = self._speaks(call_of(channel)) if kind == "call" else ""
        part = Part(kind, (), "", name)
        self._texts[channel] = (part, PartialJson())
        if self._judge.shape_of(part)[0] is not None:
            self._open.add(channel)
        elif kind == "call" and not name:
            self._judge.parts([part], "")  # no text of it is kept, and whether it may be is known now

    def _speaks(self, call: Channel) -> str:
        """A call has arguments; the name of its tool, "" where that was not told."""
        if self._silent.pop(call, None) is not None:
            self._open.discard(call)
        name = self._names.get(call, "")
        if not name:
            self._unnamed.add(call)
        return name

    def _keep(self, size: int) -> None:
        self._kept += size
        if self._kept > self._max_bytes:
            raise BodyTooLarge(f"answers of more than {self._max_bytes} characters")

    def _finish(self, ends: Iterable[Channel]) -> None:
        """Texts are over: what is not done by now never will be."""
        for channel in self._open.under(ends):
            if (call := self._silent.pop(channel, None)) is not None:
                self._open.discard(channel)
                # What a block opened with is its input; of a chat's call the text is empty.
                self._judge.parts([call._replace(value="{}" if channel[0] == "block" else "")], "")
                continue
            part, progress = self._texts[channel]
            progress.finish()
            self._over_with(channel, part, progress)

    def _over_with(self, channel: Channel, part: Part, progress: PartialJson) -> None:
        self._open.discard(channel)
        self._waiting.discard(channel)
        left = self._judge.text(part, progress)
        if left != progress.text:
            self._left[channel] = left

    def _raise(self) -> bytes:
        """Raise what went wrong, once; b"" when nothing did."""
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault
        return b""


def _size(held: _Held) -> int:
    unit, _ = held
    return len(unit.payload or "") + _OVERHEAD
