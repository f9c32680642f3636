"""What a model took for a name, cut to what is one; or nothing, when it has not the shape of a name."""

from __future__ import annotations

import re
from typing import Final

from tidegate.filtering.ner.candidates import NO_NAMES
from tidegate.filtering.ner.model import ORGANIZATION, PERSON, Name

_AROUND: Final = " \t\r\n\u00a0\"'`.,;:!?()[]{}<>*_~|-\u2013\u2014/\\&+=\u2018\u2019\u201c\u201d"
_LEADING: Final = re.compile(
    r"(?:(?:(?:the|a|an|dear|hi|hello|hey|miss|mister|professor|sir|madam|lord|lady)"
    r"|(?:mr|mrs|ms|mx|dr|prof|rev|sen|gov|capt|lt|sgt)\b\.?)\s+)+",
    re.IGNORECASE,
)
_POSSESSIVE: Final = re.compile(r"['\u2019]s?\Z")
_INITIALS: Final = re.compile(r"(?:[^\W\d_]\.)+(?:[^\W\d_])?\Z|[^\W\d_]{1,5}\.\Z")
_NEVER: Final = re.compile(r"[_\[\]{}<>()=@#$%^*~|\\/\"\n\t]|[^\W\d_]{2,}\.[^\W\d_]|\w:\w")
_NUMBERED: Final = re.compile(r"(?<![^\W_])(?=[^\W_]{5})(?=\d*[^\W\d_])[^\W_]*\d")  # a part, a key; not 3M, G20 or 2026
_IN_A_WORD: Final = re.compile(r"(?<=[^\W_])[^\W_]|(?<=\d-)\w")
_CAMEL: Final = re.compile(r"[^\W\d_]*[a-z][A-Z]")
_CAMEL_IN_NAMES: Final = re.compile(r"\b(?:Ma?c|O['\u2019]?|D[aeiu]|L[aeio]|Fitz|Van|Von|St|Al|Ben|El)(?=[A-Z])")


def trimmed(name: Name, sentence: str) -> Name | None:
    """The name without what is around it; None for what is none."""
    start, end = name.start, name.end
    text = sentence[start:end]
    kept = text.lstrip(_AROUND)
    start += len(text) - len(kept)
    lead = _LEADING.match(kept)
    if lead is not None:
        start += lead.end()
        kept = kept[lead.end() :]
    kept = _POSSESSIVE.sub("", kept.rstrip())
    bare = kept.rstrip(_AROUND)
    if kept[len(bare) : len(bare) + 1] == "." and _INITIALS.search(bare.rpartition(" ")[2] + "."):
        bare += "."
    if not bare or not _has_shape(name.entity, bare):
        return None
    if name.entity == ORGANIZATION and any(_IN_A_WORD.match(sentence, at) for at in (start, start + len(bare))):
        return None
    return Name(name.entity, start, start + len(bare))


def _has_shape(entity: str, text: str) -> bool:
    if _NEVER.search(text) is not None or text.islower() or not any(char.isalpha() for char in text):
        return False
    if entity == ORGANIZATION:
        return _NUMBERED.search(text) is None and any(word.capitalize() not in NO_NAMES for word in text.split())
    if any(char.isdigit() for char in text):
        return False
    if entity == PERSON:
        return len(text) > 1 and _CAMEL.search(_CAMEL_IN_NAMES.sub("", text)) is None
    return True
