"""Detectors of personal data. Rows stand in order of precedence where two values start at the same place.

In these patterns `\\xc0` is a letter outside ASCII, `\\xb7` the ideographic full stop (`tidegate.filtering.view`).
"""

from __future__ import annotations

from tidegate.filtering import validators
from tidegate.filtering.detector import FRESH, Detector

_SEP = r"[ -]{0,3}"
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_V4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
_HEX = r"[0-9A-Fa-f]{1,4}"
_V6_END = rf"(?:{_HEX}|{_V4})"
_START = r"(?:\b|[A-Za-z_])"  # a run of digits, at most one letter early
_AREA = r"\([2-9][0-9]{2}\)"
_PLAIN = r"[2-9][0-9]{2}[ .\x2f-]{1,2}"
_LINE = r"[2-9][0-9]{2}[ .-]{1,2}[0-9]{4}"
_NAMED = r"[.\x22'*_\x60 ]{0,3}[:=][\x22'*_\x60 \t]{0,4}"  # between a name and its value
_LOCAL = r"[0-9A-Za-z.!#$%&'*+_~^`{|}\x22\xc0-]"

_SPELT = r"[0-9A-Za-z_+.-]"
_LABEL = r"[0-9A-Za-z-]{1,63}"
_AT = r"[ ]?[\[({<][ ]?(?i:at)[ ]?[\])}>][ ]?"
_DOT = r"(?:[ ]?[\[({<][ ]?(?i:dot)[ ]?[\])}>][ ]?|[ ](?:dot|DOT)[ ])"

PERSONAL: tuple[Detector, ...] = (
    Detector(
        entity="IBAN",
        name="iban",
        check="structure of its country, ISO 7064",
        guard=FRESH,
        body=r"[A-Za-z]{2}[0-9]{2}(?:[ -]?[0-9A-Za-z]){11,31}",
        trigger=r"(?:\b|[_nrt])[A-Za-z]{2}[0-9]{2}(?:[ -]?[0-9A-Za-z]){11}",
        accept=validators.iban,
        positives=(
            "GB82WEST12345698765432",
            "GB82 WEST 1234 5698 7654 32",
            "GB82-WEST-1234-5698-7654-32",
            "gb82 west 1234 5698 7654 32",
            "DE89370400440532013000",
            "FR14 20041 01005 0500013M026 06",
            "NO9386011117947",
            "MT84MALT011000012345MTLCAST001S",
        ),
        negatives=("GB82WEST12345698765433", "ZZ82WEST12345698765432", "GB82 WEST 1234", "DE8937040044053201300012345"),
    ),
    Detector(
        entity="CREDIT_CARD",
        name="card",
        check="length of its brand, Luhn",
        guard=r"(?<![0-9])(?<![0-9]\.)",
        body=rf"[0-9]{{4}}{_SEP}(?:[0-9]{{4}}{_SEP}[0-9]{{4}}{_SEP}[0-9]{{3,4}}(?:{_SEP}[0-9]{{1,3}})?"
        rf"|[0-9]{{6}}{_SEP}[0-9]{{4,5}}|(?:[._][0-9]{{4}}){{3}})|[0-9]{{13}}",
        ahead=r"[^0-9]",
        trigger=rf"{_START}[2-68][0-9]{{3}}(?:{_SEP}(?:[0-9]{{4}}{_SEP}[0-9]{{4}}|[0-9]{{6}}{_SEP}[0-9]{{4}}|[0-9]{{9}})"
        r"|[._][0-9]{4}[._][0-9]{4})",
        accept=validators.card,
        positives=(
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "4111.1111.1111.1111",
            "4111_1111_1111_1111",
            "5500005555555559",
            "2223003122003222",
            "378282246310005",
            "3782 822463 10005",
            "3782 8224 6310 005",
            "6011 1111 1111 1117",
            "3530111333300000",
            "30569309025904",
            "4222222222222",
        ),
        negatives=(
            "4111111111111112",
            "4111 1111 1111 1112",
            "1234567890123456",
            "0.4111111111111111",
            "65004099_38817470",
            "41111111111111110000000",
            "1700000000000",
            "9876543210987654",
        ),
    ),
    Detector(
        entity="US_SSN",
        name="ssn",
        check="ranges",
        guard=r"(?<![0-9])(?<![0-9]-)",
        body=r"[0-9]{3}[ -][0-9]{2}[ -][0-9]{4}",
        ahead=r"[^0-9-]|-[^0-9]",
        accept=validators.ssn,
        positives=("123-45-6789", "123 45 6789", "899-99-9999"),
        negatives=(
            "000-12-3456",
            "666-12-3456",
            "900-12-3456",
            "123-00-4567",
            "123-45-0000",
            "123-45 6789",
            "2023-123-45-6789",
            "123-45-67890",
            "123-45-6789-1",
            "123456789",
        ),
    ),
    Detector(
        entity="US_SSN",
        name="ssn-by-name",
        check="ranges",
        body=rf"(?i:ssn|social[ _-]?security(?:[ _-]?(?:number|num|no))?)(?:{_NAMED}| is | {{1,2}})([0-9]{{9}})",
        ahead=r"[^0-9]",
        accept=validators.ssn_part,
        positives=("SSN: 123456789", "ssn='123456789'", "SSN 123456789", "**Social Security Number:** 123456789"),
        negatives=("SSN: 000456789", "SSN: 1234567890", "lesson 123456789", "SSN 12345678"),
    ),
    Detector(
        entity="IP_ADDRESS",
        name="ipv4",
        check="octets",
        guard=r"(?<![0-9Vv])(?<![0-9]\.)",
        body=_V4,
        ahead=r"[^0-9.]|\.[^0-9]",
        positives=("192.168.0.1", "8.8.8.8", "255.255.255.255", "10.0.0.10"),
        negatives=("256.1.1.1", "1.2.3", "1.2.3.4.5", "v1.2.3.4", "1.2.3.400", "01.02.03.04", "0.1.2.3.4.5.6.7.8"),
    ),
    Detector(
        entity="IP_ADDRESS",
        name="ipv6",
        check="structure",
        guard=r"(?:(?<![0-9A-Za-z_])|(?<=\\[nrt]))(?<!::)",
        body=rf"(?:{_HEX}:){{7}}{_HEX}|(?:{_HEX}:){{6}}{_V4}|(?:{_HEX}:){{1,6}}:(?:(?:{_HEX}:){{0,5}}{_V6_END})?"
        rf"|::(?:{_HEX}:){{0,5}}{_V6_END}",
        ahead=r"[^0-9A-Za-z_:.]|[.:][^0-9A-Za-z:]",
        accept=validators.ipv6,
        positives=(
            "2001:db8::1",
            "fe80::1ff:fe23:4567:890a",
            "2001:0db8:85a3:0000:0000:8a2e:0370:7334",
            "::ffff:192.168.0.1",
            "2001:db8::",
            "node:fe80::1",
        ),
        negatives=("12:34:56", "aa:bb:cc:dd:ee:ff", "std::begin", "a[1::2]", "::1", "dead::beef", "a::b::c1"),
    ),
    Detector(
        entity="PHONE",
        name="international",
        check="number plan of its country",
        guard=FRESH,
        body=r"\+\(?[0-9](?:[ ().\x2f-]{0,3}[0-9]){6,14}",
        ahead=r"[^0-9]",
        accept=validators.international,
        positives=(
            "+14155550132",
            "+1 (415) 555-0132",
            "+1.415.555.0132",
            "+1.4155550132",
            "+44 20 7946 0958",
            "+44 (0)20 7946 0958",
            "+4915123456789",
            "+33 1 23 45 67 89",
            "+353-1-234-5678",
            "+7 916 123-45-67",
        ),
        negatives=(
            "+0530",
            "+12",
            "+1 123 456 7890",
            "+3.140000",
            "+35236450.6",
            "+99912345678",
            "x+14155550132",
            "+1234567890123456789",
        ),
    ),
    Detector(
        entity="PHONE",
        name="nanp",
        check="NANP",
        guard=r"(?:(?=\()|(?<![0-9])(?<![0-9]\.))",
        body=rf"(?:1[ .-]{{0,2}})?(?:{_AREA}[ .-]{{0,3}}[2-9][0-9]{{2}}[ .-]{{0,3}}[0-9]{{4}}|{_PLAIN}{_LINE})",
        ahead=r"[^0-9.]|\.[^0-9]",
        trigger=rf"{_START}(?:1[ .-]{{0,2}}(?:{_AREA}|{_PLAIN}{_LINE})|{_PLAIN}{_LINE})|{_AREA}",
        accept=validators.nanp,
        positives=(
            "(415) 555-0132",
            "(415)555-0132",
            "(415)5550132",
            "(415) - 555 - 0132",
            "415-555-0132",
            "415.555.0132",
            "415 555 0132",
            "1-800-555-0199",
            "1 (800) 555-0199",
        ),
        negatives=(
            "2024-01-15",
            "2024-01-15T10:00:00",
            "12:34:56",
            "115-555-0132",
            "415-055-0132",
            "911-555-0132",
            "4155550132",
            "555-0132",
            "415.555.0132.7",
            "$1,234,567.89",
            "123-456-7890",
        ),
    ),
    Detector(
        entity="PHONE",
        name="phone-by-name",
        check="no date",
        guard=FRESH,
        body=rf"(?i:tel(?:efon|ephone)?|t\xc0l|phone|mobile?|fax|sms|callto|whatsapp)(?:[ _]?(?i:number|num|no|nr))?"
        rf"{_NAMED}(\(?[0-9](?:[ ().\x2f-]{{0,3}}[0-9]){{6,14}})",
        ahead=r"[^0-9]",
        accept=validators.phone_part,
        positives=(
            "tel:4155550132",
            "Tel.: 020 7946 0958",
            "T\u00e9l. : 01 23 45 67 89",
            "**Telefon:** (030) 901820",
            "phone_number='07911 123456'",
        ),
        negatives=("hotel: 12345678", "phone: 2024-01-15", "tel: 123456", "Fax: none", "phone 12345678"),
    ),
    Detector(
        entity="EMAIL_SPELT_OUT",
        name="email-spelt-out",
        check="top-level domain",
        guard=r"(?:(?<![0-9A-Za-z._+-])|(?<=\\[nrt]))",
        body=rf"(?:{_SPELT}{{1,30}}{_DOT}){{0,2}}{_SPELT}{{1,64}}"
        rf"(?:{_AT}{_LABEL}(?:(?:{_DOT}|\.){_LABEL}){{1,4}}|[ ](?:at|AT)[ ]{_LABEL}(?:{_DOT}{_LABEL}){{1,4}})",
        ahead="[^0-9A-Za-z-]",
        trigger=rf"(?:\b|[_nrt]){_SPELT}{{1,64}}(?:{_AT}|{_DOT}|[ ](?:at|AT)[ ])",
        wake=r"(?i:[\[({<][ ]?(?:at|dot)[ ]?[\])}>]|[ ]dot[ ])",
        loose=True,
        automaton="spoken",
        accept=validators.spelt_out,
        positives=(
            "bob [at] example [dot] com",
            "bob(at)example.com",
            "first.last at mail dot example dot co dot uk",
            "bob{AT}example{DOT}org",
            "bob <at> example (dot) com",
            "first dot last at example dot net",
        ),
        negatives=("look at example.com", "meet at noon dot the", "a dot b", "call(at)x", "bob [at] home"),
    ),
    Detector(
        entity="EMAIL",
        name="email",
        check="host name",
        body=rf"{_LOCAL}{{1,64}}\\?@[0-9A-Za-z.\xc0\xb7-]{{1,255}}",
        trigger=rf"{_LOCAL}{{1,64}}\\?@(?:[0-9A-Za-z\xc0][0-9A-Za-z\xc0-]*[.\xb7])+(?:xn--|[A-Za-z\xc0]{{2}})",
        automaton="e-mail",
        needs=b"@",
        accept=validators.email,
        positives=(
            "bob@example.com",
            "first.last+tag@mail.example.co.uk",
            "o'brien@example.ie",
            "user_name%x@example.museum",
            "j\u00fcrgen@b\u00fccher.example",
            "\u7528\u6237@\u4f8b\u5b50.\u5e7f\u544a",
            r"bob\@example.com",
            "bob@xn--bcher-kva.example",
            "bob\uff20example\uff0ecom",
            "b\u200bob@exam\u00adple.com",
        ),
        negatives=(
            "bob@localhost",
            "@bob",
            "bob@",
            "bob@example",
            "bob@1.2.3",
            "icon@2x.png",
            "a @ b.com",
            "lodash@4.17.21",
            "git@github.com:org/repo.git",
        ),
    ),
)
