# ruff: noqa: E501 (a row of the table is a line here)
"""What tells a person apart: addresses, numbers that reach or pay them, and where they are."""

from __future__ import annotations

import base64
import hashlib
import unicodedata
from calendar import month_name
from random import Random
from typing import Final

import phonenumbers
from stdnum import iban as iban_module

from tests.quality.issued.names import FAMILY_NAMES, GIVEN_NAMES
from tests.quality.issued.shapes import Kind, shape, shaped, valid

_REGIONS: Final = ("US", "GB", "DE", "FR", "NL", "ES", "IT", "IN", "BR", "JP", "AU", "CH", "SE", "PL", "IE", "ZA")
_DOMAINS: Final = (
    "example.com",
    "example.org",
    "mail.example.net",
    "corp.example.co.uk",
    "uni-muster.example",
    "firma.example.de",
)
_IBANS: Final = {
    "DE": "{d:18}", "GB": "WEST{d:14}", "FR": "{d:10}{A:11}{d:2}", "NL": "ABNA{d:10}", "ES": "{d:20}", "CH": "{d:17}",
    "IE": "AIBK{d:14}", "BE": "{d:12}", "AT": "{d:16}", "PL": "{d:24}", "SE": "{d:20}",
}  # fmt: skip
_CARDS: Final = ("4{d:15}", "51{d:14}", "55{d:14}", "2221{d:12}", "34{d:13}", "37{d:13}", "6011{d:12}", "3528{d:12}")
_STREETS: Final = (
    "Maple",
    "Sycamore",
    "Harbour",
    "Station",
    "Old Mill",
    "Church",
    "Juniper",
    "Victoria",
    "King's",
    "Prospect",
)
_SUFFIXES: Final = (
    "Street",
    "St.",
    "Avenue",
    "Ave",
    "Road",
    "Rd",
    "Lane",
    "Drive",
    "Court",
    "Boulevard",
    "Way",
    "Terrace",
)
_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def _email(rng: Random) -> str:
    given, family = rng.choice(GIVEN_NAMES), rng.choice(FAMILY_NAMES)
    local = rng.choice(
        (f"{given}.{family}", f"{given[0]}{family}", f"{given}_{family}{rng.randrange(99)}", f"{given}+news", family)
    )
    plain = unicodedata.normalize("NFKD", local.lower()).encode("ascii", "ignore").decode()
    return f"{plain.replace(' ', '').replace(chr(39), '')}@{rng.choice(_DOMAINS)}"


def _spelt_out(rng: Random) -> str:
    at, dot = rng.choice(((" at ", " dot "), (" [at] ", " [dot] "), ("(at)", "(dot)")))
    return _email(rng).replace("@", at).replace(".", dot)


def _phone(rng: Random) -> str:
    """A number of a numbering plan's own example, its last digits drawn, as the plan's people write it."""
    region = rng.choice(_REGIONS)
    while True:
        example = phonenumbers.example_number_for_type(region, rng.choice((0, 1)))
        assert example is not None
        digits = str(example.national_number)
        number = phonenumbers.PhoneNumber(example.country_code, int(digits[:-4] + f"{rng.randrange(10**4):04}"))
        if phonenumbers.is_valid_number(number):
            break
    if region == "US" and rng.random() < 0.7:
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
    style = rng.choice((phonenumbers.PhoneNumberFormat.INTERNATIONAL, phonenumbers.PhoneNumberFormat.E164))
    return phonenumbers.format_number(number, style)


def national_phones(region: str) -> Kind:
    """Numbers of a region without its country code, as its people write them."""

    def draw(rng: Random) -> str:
        while True:
            example = phonenumbers.example_number_for_type(region, rng.choice((0, 1)))
            assert example is not None
            digits = phonenumbers.national_significant_number(example)
            digits = digits[:-5] + f"{rng.randrange(10**5):05}"
            number = phonenumbers.PhoneNumber(example.country_code, int(digits), italian_leading_zero=digits[0] == "0")
            if phonenumbers.is_valid_number(number):
                break
        written = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
        if rng.random() < 0.3:
            return "".join(filter(str.isdigit, written))
        return written.replace(" ", rng.choice((" ", " ", "-")))

    labels, keys = ("phone number", "mobile", "telephone"), ("phone", "mobile_number")
    return Kind("PHONE", draw, labels, keys, _CALLS, True)


def _card(rng: Random) -> str:
    number = valid("luhn", *_CARDS)(rng)
    groups = (4, 6, 5) if len(number) == 15 else (4, 4, 4, 4)
    parts, at = [], 0
    for size in groups:
        parts.append(number[at : at + size])
        at += size
    return rng.choice(("", " ", " ", "-")).join(parts)


def _iban(rng: Random) -> str:
    """With the check digits of ISO 13616: the country and `00` moved to the end, letters as numbers, 98 less the rest."""
    while True:
        country = rng.choice(list(_IBANS))
        account = shape(rng, _IBANS[country])
        rest = int("".join(str(int(char, 36)) for char in f"{account}{country}00")) % 97
        iban = f"{country}{98 - rest:02}{account}"
        if iban_module.is_valid(iban):
            return " ".join(iban[at : at + 4] for at in range(0, len(iban), 4)) if rng.random() < 0.5 else iban


def _birthday(rng: Random) -> str:
    year, month, day = rng.randint(1935, 2010), rng.randint(1, 12), rng.randint(1, 28)
    return rng.choice(
        (
            f"{year}-{month:02}-{day:02}", f"{day:02}/{month:02}/{year}", f"{month}/{day}/{year}", f"{day:02}.{month:02}.{year}",
            f"{day} {month_name[month]} {year}", f"{month_name[month]} {day}, {year}",
        )
    )  # fmt: skip


def _street(rng: Random) -> str:
    if rng.random() < 0.2:
        kind = rng.choice(("stra\u00dfe", "weg", "platz"))
        return f"{rng.choice(('Linden', 'Garten', 'Bahnhof', 'Schiller'))}{kind} {rng.randint(1, 180)}"
    unit = rng.choice(("", "", "", f", Apt {rng.randint(1, 40)}", f", Flat {rng.randint(1, 9)}"))
    return f"{rng.randint(1, 4800)} {rng.choice(_STREETS)} {rng.choice(_SUFFIXES)}{unit}"


def _position(rng: Random) -> str:
    north, east = rng.uniform(-60, 70), rng.uniform(-170, 170)
    return rng.choice((f"{north:.6f}, {east:.6f}", f"{north:.5f},{east:.5f}", f"{north:.4f}, {east:.4f}"))


def _ip(rng: Random) -> str:
    if rng.random() < 0.7:
        return rng.choice(("10.{}.{}.{}", "192.168.{1}.{2}", "203.0.113.{2}", "172.16.{1}.{2}")).format(
            *(rng.randint(1, 254) for _ in range(3))
        )
    return rng.choice(
        (
            shape(rng, "2001:db8:{h:4}:{h:4}::{h:2}"),
            shape(rng, "fe80::{h:4}:{h:4}:{h:4}:{h:4}"),
            shape(rng, "2001:db8::{h:4}"),
        )
    )


def _wallet(rng: Random) -> str:
    """P2PKH (base58check), P2WPKH (BIP 173) or an Ethereum account (EIP-55 without its capitals)."""
    key = rng.randbytes(20)
    kind = rng.randrange(3)
    if kind == 0:
        raw = b"\0" + key
        raw += hashlib.sha256(hashlib.sha256(raw).digest()).digest()[:4]
        number, text = int.from_bytes(raw, "big"), ""
        while number:
            number, digit = divmod(number, 58)
            text = _BASE58[digit] + text
        return f"1{text}"
    return _segwit(key) if kind == 1 else f"0x{key.hex()}"


def _segwit(key: bytes) -> str:
    bits = "".join(f"{byte:08b}" for byte in key)
    values = [0] + [int(bits[at : at + 5], 2) for at in range(0, len(bits), 5)]
    state = 1
    for value in [3, 3, 0, 2, 3, *values, 0, 0, 0, 0, 0, 0]:
        top, state = state >> 25, (state & 0x1FFFFFF) << 5 ^ value
        for at, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            state ^= generator if top >> at & 1 else 0
    state ^= 1
    return "bc1" + "".join(_BECH32[value] for value in [*values, *((state >> 5 * (5 - at)) & 31 for at in range(6))])


def _basic(rng: Random) -> str:
    return base64.b64encode(shape(rng, "svc-{l:6}:{w:16}").encode()).decode()


_CALLS: Final = (
    "Call me on <v> after six.",
    "The nurse's direct line is <v>.",
    "He texted from <v> last night.",
    "Tel. <v>",
)
PERSONAL: Final = (
    Kind("EMAIL", _email, ("e-mail address", "email", "contact"), ("email", "contact_email"), ("You can write to <v> any time.", "She asked that the invoice go to <v>, not to the shared inbox.", "Reply-To: <<v>>", "cc <v> on the thread"), True),
    Kind("EMAIL_SPELT_OUT", _spelt_out, ("e-mail address", "contact"), ("contact",), ("On the forum he gives his address as <v> to keep robots away.",), True),
    Kind("PHONE", _phone, ("phone number", "mobile", "telephone"), ("phone", "mobile_number"), _CALLS, True),
    Kind("CREDIT_CARD", _card, ("card number", "credit card"), ("card_number", "pan"), ("I was charged twice on <v> this month.", "The card <v> was declined."), True),
    Kind("IBAN", _iban, ("IBAN", "account"), ("iban",), ("Please send the deposit to <v> by Friday.",), True),
    Kind("SWIFT_BIC", shaped("DEUTDEFF{d:3}", "NEDSZAJJ", "ABNANL2A", "BARCGB22", "CHASUS33", "UBSWCHZH80A"), ("BIC", "SWIFT code", "SWIFT/BIC"), ("bic", "swift_code")),
    Kind("DATE_OF_BIRTH", _birthday, ("date of birth", "birth date", "DOB"), ("date_of_birth", "dob", "birth_date"), ("The patient was born on <v> in a small clinic.", "Her birthday is <v>.")),
    Kind("STREET_ADDRESS", _street, ("home address", "street address", "shipping address"), ("address", "shipping_address"), ("They live at <v> with two dogs.", "The parcel is to be delivered to <v>.", "His new flat is at <v>.")),
    Kind("GPS_COORDINATES", _position, ("GPS position", "coordinates", "location"), ("location", "coords"), ("The phone was last seen near coordinates <v>.",)),
    Kind("IP_ADDRESS", _ip, ("IP address", "client IP"), ("client_ip", "remote_addr"), ("The log shows a login from <v> at night.", "Block <v> at the firewall."), True),
    Kind("MAC_ADDRESS", shaped("3c:22:fb:{h:2}:{h:2}:{h:2}", "A4-5E-60-{H:2}-{H:2}-{H:2}", "b827.eb{h:2}.{h:4}"), ("MAC address", "hardware address"), ("mac", "hw_address"), ("Her laptop joins the network as <v>.",), True),
    Kind("CRYPTO", _wallet, ("wallet", "wallet address"), ("wallet",), ("He paid the ransom to <v>.",), True),
    Kind("URL_CREDENTIALS", shaped("app:{w:14}", "deploy:{w:20}", "default:{w:18}", "worker:{w:12}"), (), (), (
        "DATABASE_URL=postgres://<v>@db.internal.example:5432/shop", "git remote add origin https://<v>@git.example.com/team/repo.git",
        "The cache listens at redis://<v>@cache.example:6379/0.", "broker: amqp://<v>@mq.example/jobs"), True),
    Kind("HTTP_CREDENTIALS", shaped("{u:43}"), (), (), (
        "curl -H 'Authorization: Bearer <v>' https://api.example.com/v1/orders", "Authorization: Bearer <v>",
        "headers = {\"Authorization\": \"Bearer <v>\"}"), True),
    Kind("HTTP_CREDENTIALS", _basic, (), (), ("Authorization: Basic <v>", "requests.get(url, headers={'Authorization': 'Basic <v>'})"), True),
)  # fmt: skip
