"""The second look at what a pattern found: checksums, number plans, structure. The span of the value, or None.

Sources: ISO/IEC 7812 (cards, Luhn), ISO 13616 (IBAN, from python-stdnum's registry), the NANP (NPA-NXX-XXXX), ITU
E.164 (lengths per country from libphonenumber), SSA's randomisation rules (SSN), RFC 5321 and RFC 5890 (mail domains).
"""

from __future__ import annotations

import base64
import ipaddress
import re
from functools import lru_cache
from typing import NamedTuple

import orjson
import phonenumbers
from stdnum import numdb

Span = tuple[int, int]

_DIGITS = b"0123456789"
_NOT_DIGITS = bytes(byte for byte in range(256) if not 0x30 <= byte <= 0x39)
_BASE36 = {ord(char): str(int(char, 36)) for char in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
_UPPER = bytes.maketrans(b"abcdefghijklmnopqrstuvwxyz", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_CARD = re.compile(
    rb"4(?:\d{12}|\d{15}|\d{18})"  # Visa
    rb"|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"  # Mastercard
    rb"|3[47]\d{13}"  # American Express
    rb"|6(?:011|4[4-9]\d|5\d\d|2\d\d)\d{12,15}"  # Discover, UnionPay, RuPay
    rb"|3(?:0[0-5]\d|095|[689]\d\d)\d{10,15}"  # Diners Club
    rb"|35(?:2[89]|[3-8]\d)\d{12,15}"  # JCB
    rb"|220[0-4]\d{12,15}"  # Mir
    rb"|(?:5[06-8]\d\d|6304|67\d\d)\d{9,15}"  # Maestro
    rb"|8[12]\d{14}"  # RuPay
)
_DOMAIN = re.compile(
    rb"(?:[0-9A-Za-z\xc0][0-9A-Za-z\xc0-]{0,62}+\.)+(?:xn--[0-9A-Za-z-]{2,59}|[A-Za-z\xc0]{2,63})"
    rb"|(?:[0-9A-Za-z\xc0][0-9A-Za-z\xc0-]{0,62}+\xb7)+(?:xn--[0-9A-Za-z-]{2,59}|[A-Za-z\xc0]{2,63})"
)
_LAST_LABEL = re.compile(rb"[0-9A-Za-z-]+\Z")
_TOPS = frozenset(b"com org net edu gov mil int info biz dev app eu uk example".split()) | {
    region.lower().encode() for region in phonenumbers.SUPPORTED_REGIONS
}
_PUNCTUATION = b".!#$%&'*+~^`{|}\"-"
_PIXEL_RATIO = re.compile(rb"[1-9](?:\.\d)?x\.(?i:png|jpe?g|gif|webp|svg|avif)\Z")
_FORGE_USERS = (b"git", b"it", b"t")
_FORGE = re.compile(rb"(?:(?:git|bitbucket|codeberg|gerrit|forgejo)[0-9a-z-]*\.|ssh\.dev\.azure\.)[0-9A-Za-z.-]+")
_HEX_GROUPS = re.compile(rb"[0-9A-Fa-f]+")
_BASE64_WORD = re.compile(rb"[A-Za-z0-9+/=]{16}")
_ALNUM_WORD = re.compile(rb"[A-Za-z0-9]{12}")
_DOUBLED = bytes.maketrans(b"0123456789", b"0246813579")
_DIGIT = re.compile(rb"\d")
_GROUP_END = re.compile(rb"\d(?!\d)")
_DECIMAL = re.compile(rb"\+(\d+)\.\d+")
_DATE = re.compile(rb"(?:19|20)\d\d[.\x2f-]\d\d?[.\x2f-]\d\d?\b|\d\d?[.\x2f-]\d\d?[.\x2f-](?:19|20)\d\d\b")
_NANP = re.compile(rb"(?!.11)[2-9]\d\d(?!.11)[2-9]\d{6}")


def card(match: re.Match[bytes]) -> Span | None:
    """A card number of a known brand's length that passes Luhn; digits behind its 15 or 16 may be none of it."""
    text = match[0]
    digits = text.translate(None, _NOT_DIGITS)
    sizes, most = _card_sizes(digits[:4]), len(digits)
    if most in sizes and luhn(digits):
        return match.span()
    for size in (16, 15):
        if size in sizes and size < most < len(text) and luhn(digits[:size]):
            for group in _GROUP_END.finditer(text):
                if len(text[: group.end()].translate(None, _NOT_DIGITS)) == size:
                    return match.start(), match.start() + group.end()
    return None


@lru_cache(maxsize=10_000)
def _card_sizes(first: bytes) -> frozenset[int]:
    """How many digits the numbers have that begin with these four, by which all brands are told apart."""
    return frozenset(size for size in range(12, 20) if _CARD.fullmatch(first.ljust(size, b"0")))


def luhn(digits: bytes) -> bool:
    """ISO/IEC 7812-1 annex B, ten times as fast as a loop over characters (it runs on every card-shaped number)."""
    return (sum(digits[-1::-2]) + sum(digits[-2::-2].translate(_DOUBLED)) - 48 * len(digits)) % 10 == 0


def ssn(match: re.Match[bytes]) -> Span | None:
    """Area 001-899 without 666, group 01-99, serial 0001-9999, the same separator twice."""
    text = match[0]
    return match.span() if text[3] == text[6] and _is_ssn(text[:3], text[4:6], text[7:]) else None


def ssn_part(match: re.Match[bytes]) -> Span | None:
    """The nine digits behind the name."""
    digits = match[1]
    return match.span(1) if _is_ssn(digits[:3], digits[3:5], digits[5:]) else None


def _is_ssn(area: bytes, group: bytes, serial: bytes) -> bool:
    return area != b"000" and area != b"666" and area < b"900" and group != b"00" and serial != b"0000"


def ipv4(match: re.Match[bytes]) -> Span | None:
    """An address that some host may have: not this one's (127.0.0.0/8), none (0.0.0.0/8), or a mask (RFC 6890)."""
    first, _, rest = match[0].partition(b".")
    own = first in (b"0", b"127") or (first == b"255" and (rest.startswith(b"255.") or rest == b"0.0.0"))
    return None if own else match.span()


def ipv6(match: re.Match[bytes]) -> Span | None:
    """An address by `ipaddress`; of fewer than three groups it needs two, one long, and a digit: `a[1::2]` is code."""
    text = match[0]
    groups = _HEX_GROUPS.findall(text)
    if len(groups) < 2 or (len(groups) == 2 and not (_DIGIT.search(text) and max(map(len, groups)) > 2)):
        return None
    try:
        ipaddress.IPv6Address(text.decode())
    except ValueError:
        return None
    return match.span()


@lru_cache(maxsize=4096)
def _possible(country: int, length: int) -> bool:
    """Whether subscribers of a country calling code have numbers of this many digits."""
    number = phonenumbers.PhoneNumber(country_code=country, national_number=10 ** (length - 1))
    return phonenumbers.is_possible_number(number)


def _is_country(digits: bytes) -> bool:
    return len(digits) < 4 and int(digits) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE


def _is_international(digits: bytes) -> bool:
    if digits[:1] == b"1":
        return _NANP.fullmatch(digits, 1) is not None
    for size in (2, 3):
        if _is_country(digits[:size]):
            return len(digits) >= 7 and _possible(int(digits[:size]), len(digits) - size)
    return digits[:1] == b"7" and _possible(7, len(digits) - 1)


def international(match: re.Match[bytes]) -> Span | None:
    """The longest run of digit groups that is a possible number of its country; a bracketed trunk zero is skipped."""
    text = match[0]
    if (decimal := _DECIMAL.fullmatch(text)) and not _is_country(decimal[1]):
        return None
    for end in reversed([group.end() for group in _GROUP_END.finditer(text)]):
        digits = text[:end].replace(b"(0)", b"").translate(None, _NOT_DIGITS)
        if len(digits) < 7:
            return None
        if _is_international(digits):
            return match.start(), match.start() + end
    return None


def nanp(match: re.Match[bytes]) -> Span | None:
    """A number of the North American plan, 555-01xx included; no N11 as area or exchange."""
    digits = match[0].translate(None, _NOT_DIGITS)
    return None if digits[-9:-7] == b"11" or digits[-6:-4] == b"11" else match.span()


def phone_part(match: re.Match[bytes]) -> Span | None:
    """What stands behind the name, unless it is a date."""
    return None if _DATE.match(match[1]) else match.span(1)


class _Country(NamedTuple):
    """What the IBANs of a country are written like, and the country in numbers."""

    shape: re.Pattern[bytes]
    number: bytes


@lru_cache(maxsize=1024)
def _iban_structure(country: bytes) -> _Country | None:
    structure = numdb.get("iban").info(country.decode())[0][1].get("bban", "")
    parts = re.findall(r"(\d+)!([nac])", structure)
    if not parts:
        return None
    classes = {"n": "[0-9]", "a": "[A-Z]", "c": "[0-9A-Z]"}
    shape = "".join(f"(?:[ -]?{classes[kind]}){{{count}}}" for count, kind in parts)
    return _Country(re.compile(f"(?i:[A-Z]{{2}}[0-9]{{2}}{shape})".encode()), _base36(country))


def _base36(text: bytes) -> bytes:
    return text if text.isdigit() else text.decode().translate(_BASE36).encode()


def iban(match: re.Match[bytes]) -> Span | None:
    """As many characters as the country's IBANs have, with the structure and the check digits (ISO 7064) right."""
    text = match[0]
    country = _iban_structure(text[:2].upper())
    found = country and country.shape.match(text)
    if not country or not found:
        return None
    value, end = found[0].translate(_UPPER, b" -"), found.end()
    if text[end : end + 1].isalnum() or int(_base36(value[4:]) + country.number + value[2:4]) % 97 != 1:
        return None
    return match.start(), match.start() + end


def email(match: re.Match[bytes]) -> Span | None:
    """From the first letter or digit to the longest host name that ends in a label of letters.

    `icon@2x.png` is a file, `git@github.com:` (and so what is left of it behind its g) a place of repositories, and
    so is that user at any host named after such a service.
    """
    text, begin = match[0], match.start()
    at = text.index(b"@")
    name = text[:at].lstrip(_PUNCTUATION)
    domain = _DOMAIN.match(text, at + 1)
    if not name or domain is None or (name in _FORGE_USERS and _FORGE.fullmatch(text, at + 1)):
        return None
    if text[at + 1] in _DIGITS and _PIXEL_RATIO.match(domain[0]):
        return None
    return begin + at - len(name), begin + domain.end()


def spelt_out(match: re.Match[bytes]) -> Span | None:
    """An address in words, when what it ends in is a common top-level domain or a country's."""
    top = _LAST_LABEL.search(match[0])
    return match.span() if top and top[0].lower() in _TOPS else None


def jwt(match: re.Match[bytes]) -> Span | None:
    """The first segment is a JSON object that names its algorithm."""
    header = match[0].partition(b".")[0]
    try:
        fields = orjson.loads(base64.urlsafe_b64decode(header + b"=" * (-len(header) % 4)))
    except ValueError:
        return None
    return match.span() if isinstance(fields, dict) and "alg" in fields else None


def pem(match: re.Match[bytes]) -> Span | None:
    """A block with key material in it, not the bare mention of its first line."""
    return match.span() if _BASE64_WORD.search(match[0], match[0].index(b"KEY")) else None


def random_key(match: re.Match[bytes]) -> Span | None:
    """`sk-` before something no person writes: a digit, and a long stretch without a hyphen, early on."""
    start, end = match.span()
    early = min(end, start + 80)
    if _DIGIT.search(match.string, start, early) and _ALNUM_WORD.search(match.string, start, early):
        return start, end
    return None


def secret_part(match: re.Match[bytes]) -> Span | None:
    """What the pattern's group matched: the value behind its name."""
    return match.span(1)
