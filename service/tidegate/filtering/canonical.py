"""A detected value as it is compared, in whatever way it was written; and the form that tells nothing but its kind."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import unicodedata
from collections.abc import Callable
from decimal import Decimal
from typing import Final

from tidegate.filtering.phones import e164
from tidegate.filtering.urls import DEVIATES
from tidegate.filtering.view import plain

HASH_DIGITS = 12
"""Hexadecimal digits that are shown of what stands for a value: 48 bits, enough to tell those of one scope apart."""

_NANP: Final = re.compile(r"1?([2-9]\d\d[2-9]\d{6})")
_SPELT: Final = re.compile(r"\s*[\[({<]\s*(?:(at)|dot)\s*[\])}>]\s*|\s+(?:(at)|dot)\s+")
_DEGREES: Final = re.compile(r"(-?\d+\.\d+)\s*\N{DEGREE SIGN}?\s*([NSEW]?)\b")
_ORDINAL: Final = re.compile(r"(?<=\d)(?:st|nd|rd|th)\b", re.IGNORECASE)
_MONTHS: Final = {
    **{"jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6, "jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11},
    **{"dec": 12, "m\xe4r": 3, "mai": 5, "okt": 10, "dez": 12},
}
_LAST_CENTURY: Final = 30  # a birthday of the year '31 and later, in two digits, is one of the 20th


def constant(entity: str) -> str:
    """The form that tells nothing but the kind."""
    return f"[{entity}]"


def canonical(entity: str, value: str, regions: frozenset[str] = frozenset()) -> str:
    """A value as it is compared: in whatever way it was written, and with disguises undone.

    `regions` are those whose telephone numbers are known without a country code.
    """
    known = plain(unicodedata.normalize("NFC", value))
    return _phone(known, regions) if entity == "PHONE" else _CANONICAL.get(entity, str)(known)


def _digits(value: str) -> str:
    return "".join(char for char in value if char.isdigit())


def _signs(value: str) -> str:
    """Letters and digits."""
    return "".join(char for char in value if char.isalnum()).upper()


def _phone(value: str, regions: frozenset[str]) -> str:
    """As in E.164 where its country is known: from itself, its region, or the shape that numbers have in the NANP."""
    if value.startswith("+"):
        return "+" + _digits(value.replace("(0)", ""))
    digits = _digits(value)
    if found := e164(value, regions):
        return found
    if digits.startswith("00"):
        return "+" + digits[2:]
    nanp = _NANP.fullmatch(digits)
    return f"+1{nanp[1]}" if nanp else digits


def _address(value: str) -> str:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:  # it is one only as its escapes are written: %48.8.8.8
        return value
    return str(address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else str(address)


def _mail(value: str) -> str:
    """In lower case, an internationalised domain as it is asked for (RFC 5890), where that is not in dispute."""
    local, at, domain = value.replace("\\", "").lower().rpartition("@")
    if DEVIATES.search(domain):
        return f"{local}{at}{domain}"
    with contextlib.suppress(UnicodeError):  # no name that could be asked for
        domain = domain.encode("idna").decode()
    return f"{local}{at}{domain}"


def _spelt_mail(value: str) -> str:
    return _mail(_SPELT.sub(lambda sign: "@" if sign[1] or sign[2] else ".", value.lower()))


def _name(value: str) -> str:
    return " ".join(value.split()).casefold()


def _wallet(value: str) -> str:
    """Base58 tells upper case from lower, bech32 (BIP 173) does not, nor an address of Ethereum (EIP-55)."""
    return value.lower() if value[:2] == "0x" or value[:3].lower() == "bc1" else value


def _bank(value: str) -> str:
    """XXX is the head office (ISO 9362), which needs none."""
    return _signs(value).removesuffix("XXX")


def _personnummer(value: str) -> str:
    """Ten digits; the century is a sign."""
    digits = _digits(value)
    over = "+" in value or (len(digits) == 12 and digits[:2] < "19")
    return digits[-10:] + ("+" if over else "")


def _date(value: str) -> str:
    """Year, month and day; with the day and the month as they stand where either may be either."""
    numbers = [int(number) for number in re.findall(r"\d+", value)]
    word = re.search(r"[^\W\d_]{3,}", _ORDINAL.sub("", value))
    month = _MONTHS.get(word[0][:3].casefold()) if word else None
    match numbers:
        case [day, year] if month:
            return f"{_year(year)}-{month:02}-{day:02}"
        case [year, month, day] if year > 31:
            return f"{_year(year)}-{month:02}-{day:02}"
        case [first, second, year] if "." in value or first > 12 or second > 12:
            day, month = (second, first) if second > 12 else (first, second)
            return f"{_year(year)}-{month:02}-{day:02}"
        case [first, second, year]:
            return f"{_year(year)}-{first:02}/{second:02}"
    return _name(value)


def _year(year: int) -> int:
    return year if year > 99 else year + (1900 if year > _LAST_CENTURY else 2000)


def _position(value: str) -> str:
    """Degrees, to the south and the west below zero."""
    found = _DEGREES.findall(value)
    degrees = (f"{'-' if side in ('S', 'W') else ''}{Decimal(number).normalize():f}" for number, side in found)
    return ",".join(degrees) or value


_NUMBERS: Final = frozenset(
    {"ABA_ROUTING_NUMBER", "AU_TFN", "BE_NN", "BG_EGN", "BR_CPF", "CA_SIN", "CH_AHV", "CN_RESIDENT_ID"}
    | {"DE_TAX_ID", "DK_CPR", "ES_NIE", "ES_NIF", "EU_VAT", "FR_NIR", "GR_AMKA", "HR_OIB", "IBAN", "IE_PPS"}
    | {"IN_AADHAAR", "IN_PAN", "IT_FISCAL_CODE", "JP_MY_NUMBER", "KR_RRN", "MAC_ADDRESS", "MX_CURP", "NL_BSN"}
    | {"NO_FODSELSNUMMER", "PL_PESEL", "PT_NIF", "RO_CNP", "SG_NRIC", "TR_KIMLIK", "UK_NHS", "UK_NINO"}
    | {"US_BANK_NUMBER", "US_DRIVER_LICENSE", "US_EIN", "US_ITIN", "US_PASSPORT", "ZA_ID"}
)
"""What is the same number, whatever stands between its letters and digits."""

_CANONICAL: Final[dict[str, Callable[[str], str]]] = {
    **dict.fromkeys(_NUMBERS, _signs),
    "CREDIT_CARD": _digits,
    "CRYPTO": _wallet,
    "DATE_OF_BIRTH": _date,
    "EMAIL": _mail,
    "EMAIL_SPELT_OUT": _spelt_mail,
    "FI_PERSONAL_IDENTITY_CODE": str.upper,
    "GPS_COORDINATES": _position,
    "IP_ADDRESS": _address,
    "LOCATION": _name,
    "ORGANIZATION": _name,
    "PERSON": _name,
    "SE_PERSONNUMMER": _personnummer,
    "STREET_ADDRESS": _name,
    "SWIFT_BIC": _bank,
    "US_SSN": _digits,
}

WAYS: Final = frozenset(_CANONICAL) | {"PHONE"}
"""The entities whose values are written in several ways."""
