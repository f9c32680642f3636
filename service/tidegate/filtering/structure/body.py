"""A body that is held to a structure after it was rewritten: what the client gets is what is judged."""

from __future__ import annotations

from tidegate.errors import BodyTooLarge
from tidegate.filtering.formats.body import BodyRewriter
from tidegate.filtering.formats.coverage import Coverage, Progress
from tidegate.filtering.structure.demand import Structure
from tidegate.filtering.structure.judge import Judge
from tidegate.filtering.structure.receipt import judged
from tidegate.model import Finding


class StructuredJson:
    """One JSON document. Where the structure is enforced nothing leaves before it was judged, at `finish`.

    `max_bytes` caps what is held. Under a structure that only annotates, what `body` lets out leaves at once, and a
    document that is longer is not judged.
    """

    def __init__(self, body: BodyRewriter, structure: Structure, *, max_bytes: int) -> None:
        self._body = body
        self._judge = Judge(structure)
        self._enforced = structure.enforced
        self._max_bytes = max_bytes
        self._held = bytearray()
        self._lost = False
        self._failure = ""
        self.streaming = body.streaming and not self._enforced

    @property
    def blocked(self) -> Finding | None:
        """What ended the body, if something did."""
        return self._body.blocked or self._judge.blocked

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes. Raises MalformedBody, BodyTooLarge."""
        return self._take(self._body.feed(data))

    def finish(self) -> bytes:
        """The document, judged."""
        out = self._take(self._body.finish())
        if self._body.blocked is not None or self._lost:
            return out
        document, self._held = bytes(self._held), bytearray()
        try:
            text = document.decode()
        except UnicodeDecodeError:
            self._judge.broken("body", "json")
        else:
            document = self._judge.document(text).encode()
        if not self._enforced:
            return out
        return b"" if self._judge.blocked is not None else document

    @property
    def progress(self) -> Progress:
        """How far its texts have come."""
        return self._body.progress

    def coverage(self) -> Coverage:
        """The receipt so far."""
        return judged(self._body.coverage(), self._judge, failure=self._failure)

    def abort(self, code: str, message: str) -> bytes:
        """Nothing of an enforced document has left, so there is nothing to end."""
        self._lost = True
        return self._body.abort(code, message)

    def _take(self, out: bytes) -> bytes:
        if self._lost:
            return out
        self._held += out
        if len(self._held) > self._max_bytes:
            self._lost = True
            self._held = bytearray()
            if self._enforced:
                self._failure = "too_large"
                raise BodyTooLarge(f"a document of more than {self._max_bytes} bytes")
        return b"" if self._enforced else out
