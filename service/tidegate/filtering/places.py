"""Detectors of where a person is and when they were born, of their devices, and of their wallets and banks.

A date, a street or a pair of numbers says nothing of a person by itself: each needs a word before it.
"""

from __future__ import annotations

from tidegate.filtering import identifiers
from tidegate.filtering.detector import FRESH, Detector, whole

_MONTH = (
    r"(?i:jan(?:uary|uar)?|feb(?:ruary|ruar)?|mar(?:ch)?|m\xc0rz|apr(?:il)?|may|mai|june?|juni|july?|juli|aug(?:ust)?"
    r"|sep(?:t|tember)?|oct(?:ober)?|okt(?:ober)?|nov(?:ember)?|dec(?:ember)?|dez(?:ember)?)"
)
_YEAR = r"(?:19|20)[0-9]{2}"
_DATE = (
    rf"{_YEAR}[.\x2f-][01]?[0-9][.\x2f-][0-3]?[0-9]|[0-3]?[0-9][.\x2f-]{{1,2}}[ ]?[0-3]?[0-9]"
    rf"[.\x2f-]{{1,2}}[ ]?(?:{_YEAR}|[0-9]{{2}})"
    rf"|{_MONTH}\.?[ ][0-3]?[0-9](?:st|nd|rd|th)?,?[ ]{_YEAR}|[0-3]?[0-9](?:st|nd|rd|th)?\.?[ ](?:of"
    rf"[ ])?{_MONTH}\.?,?[ ]{_YEAR}"
)
_KIND = (
    r"(?i:street|st|avenue|ave|road|rd|boulevard|blvd|lane|ln|drive|dr|court|ct|place|pl|square|sq|terrace|way|circle"
    r"|highway|hwy|parkway|pkwy|close|crescent|row)"
)
_UNIT = r"(?:,?[ ](?i:apt|apartment|suite|ste|unit|flat|floor|#)\.?[ ]?[0-9A-Za-z-]{1,6})?"

PLACES: tuple[Detector, ...] = (
    Detector(
        entity="DATE_OF_BIRTH",
        name="date-of-birth",
        near=r"dob|d\.o\.b\.?|date[ _.-]?of[ _.-]?birth|birth[ _.-]?(?:date|day)|born|geburtsdatum|geburtstag|geboren"
        r"|n\xc0e? le|fecha de nacimiento|nacido|data di nascita|geboortedatum",
        within=40,
        guard=r"(?:(?<![0-9A-Za-z])(?<![0-9][.\x2f-])|(?<=\\[nrt]))",
        body=_DATE,
        trigger=rf"(?:\b|[_nrt])(?:{_DATE})",
        ahead="[^0-9A-Za-z-]",
        accept=identifiers.birthday,
        check="calendar",
        positives=(
            "DOB: 1980-02-29",
            "date of birth 29/02/1980",
            "born on March 3, 1980",
            "born 3 March 1980",
            "Date of Birth: 03/31/80",
            "Geburtsdatum: 31.12.1980",
            "date_of_birth='1980-02-29'",
            "n\u00e9 le 31.12.1980",
        ),
        negatives=("1980-02-29", "DOB: 1980-02-30", "released on March 3, 1980", "born in 1980", "DOB: 99/99/1980"),
    ),
    Detector(
        entity="STREET_ADDRESS",
        name="street-address",
        near=r"(?:home|street|mailing|shipping|billing|postal|work)?[ _.-]?address|live[sd]?|living|resid(?:es?"
        r"|ing|ence)|ship(?:ped)? to"
        r"|deliver(?:ed|y)?|located|moved to"
        r"|(?:flat|apartment|house|home|office|shop) (?:is|was) (?:at|on)|anschrift|adresse|wohnhaft|wohnt",
        within=60,
        guard=r"(?:(?<![0-9A-Za-z])(?<![0-9][.,-])|(?<=\\[nrt]))",
        body=rf"[0-9]{{1,5}}[A-Za-z]?[ ](?:[NSEW]\.?[ ])?(?:[0-9A-Z][0-9A-Za-z\xc0'.-]{{0,20}}"
        rf"[ ]){{1,4}}{_KIND}\.?{_UNIT}"
        r"|[A-Z\xc0][A-Za-z\xc0-]{2,25}(?:stra\xc0e|strasse|str\.|weg|platz|gasse|allee|laan|straat)[ ]"
        r"[0-9]{1,4}[a-z]?",
        ahead="[^0-9A-Za-z]",
        accept=whole,
        check="kind of street",
        positives=(
            "lives at 742 Evergreen Terrace",
            "Address: 1600 Example Ave NW",
            "shipping_address=12B Sample Street, Apt 4",
            "Anschrift: Musterstra\u00dfe 12a",
            "Address: 10 N. Main St.",
            "located at 221 West 42nd Street",
        ),
        negatives=(
            "742 Evergreen Terrace",
            "Address: none",
            "address 0x7f Stack Way",
            "lives 3 Days",
            "Musterstra\u00dfe 12",
        ),
    ),
    Detector(
        entity="GPS_COORDINATES",
        name="gps-pair",
        near=r"gps|lat(?:itude)?|lon(?:gitude)?|lng|coord(?:inate)?s?|geo(?:location|point|tag)?|location|position",
        within=40,
        guard=r"(?:(?<![0-9A-Za-z.])|(?<=\\[nrt]))",
        body=r"[+-]?[0-9]{1,2}\.[0-9]{4,10}[ ]?\xa0?[ ]?[NS]?[\x22',; \x2f]{1,4}(?:(?i:lon(?:gitude)?|lng)"
        r"[\x22']?[ ]?[:=][ \x22']{0,2})?[+-]?[0-9]{1,3}\.[0-9]{4,10}(?:[ ]?\xa0?[ ]?[EW])?",
        ahead="[^0-9A-Za-z.]|[.][^0-9]",
        accept=identifiers.position_pair,
        check="range",
        positives=(
            "GPS: 52.520008, 13.404954",
            "coordinates (40.712776, -74.005974)",
            "lat: 52.520008, lon: 13.404954",
            "location 48.8566\u00b0 N, 2.3522\u00b0 E",
            '"latitude": 52.520008, "longitude": 13.404954',
        ),
        negatives=("52.520008, 13.404954", "GPS: 99.520008, 13.404954", "coordinates (1.5, 2.5)", "position 0.1234"),
    ),
    Detector(
        entity="SWIFT_BIC",
        name="bic",
        near=r"swift(?:[ _.\x2f-]?(?:code|bic|number))?|bic(?:[ _.\x2f-]?(?:code|swift))?|bank identifier(?: code)?",
        within=30,
        guard=FRESH,
        body="[A-Z]{6}[0-9A-Z]{2}(?:[0-9A-Z]{3})?",
        ahead="[^0-9A-Za-z_]",
        accept=identifiers.bic,
        check="country",
        positives=("BIC: DEUTDEFF", "SWIFT code DEUTDEFF500", "swift_bic=NEDSZAJJXXX", "BIC/SWIFT: ABNANL2A"),
        negatives=("DEUTDEFF", "BIC: DEUTZZFF", "SWIFT code PASSWORD", "swift code deutdeff"),
    ),
    Detector(
        entity="MAC_ADDRESS",
        name="mac",
        guard=r"(?:(?<![0-9A-Za-z-])(?<![0-9A-Fa-f]:)|(?<=\\[nrt]))",
        body=r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{2}(?:-[0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}",
        ahead="[^0-9A-Za-z:._-]|[:.-][^0-9A-Za-z]",
        trigger=r"(?:\b|[_nrt])(?:[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){2}:|[0-9A-Fa-f]{2}(?:-[0-9A-Fa-f]{2}){2}-|[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.)",
        loose=True,
        accept=identifiers.mac,
        check="not all alike",
        positives=("3c:22:fb:4a:9d:1e", "3C-22-FB-4A-9D-1E", "3c22.fb4a.9d1e"),
        negatives=(
            "00:00:00:00:00:00",
            "3c:22:fb:4a:9d",
            "3c:22:fb:4a:9d:1e:77",
            "01:02:03:04:05:06",
            "2024-01-15-10-20-30",
            "aa:bb:cc:dd:ee:gg",
        ),
    ),
    Detector(
        entity="CRYPTO",
        name="bitcoin-base58",
        guard=FRESH,
        body="[13][1-9A-HJ-NP-Za-km-z]{25,34}",
        ahead="[^0-9A-Za-z]",
        trigger=r"(?:\b|[_nrt])[13][1-9A-HJ-NP-Za-km-z]{25}",
        loose=True,
        accept=identifiers.base58check,
        check="base58check",
        positives=("1BoatSLRHtKNngkdXEeobR76b53LETtpyT", "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy"),
        negatives=(
            "1BoatSLRHtKNngkdXEeobR76b53LETtpyU",
            "1BoatSLRHtKNngkdXEeobR",
            "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy0",
        ),
    ),
    Detector(
        entity="CRYPTO",
        name="bitcoin-bech32",
        sign="bc1|BC1",
        guard=FRESH,
        body="bc1[02-9ac-hj-np-z]{11,87}|BC1[02-9AC-HJ-NP-Z]{11,87}",
        ahead="[^0-9A-Za-z]",
        accept=identifiers.bech32,
        check="bech32 checksum",
        positives=("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4"),
        negatives=(
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",
            "bc1abc",
            "abc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        ),
    ),
    Detector(
        entity="CRYPTO",
        name="ethereum",
        sign="0x",
        guard=FRESH,
        body="0x[0-9A-Fa-f]{40}",
        ahead="[^0-9A-Za-z]",
        accept=identifiers.ethereum,
        check="not all alike",
        positives=("0x52908400098527886E0F7030069857D2E4169EE7", "0xde709f2102306220921060314715629080e2fb77"),
        negatives=(
            "0x0000000000000000000000000000000000000000",
            "0x52908400098527886E0F7030069857D2E4169EE",
            "0x52908400098527886E0F7030069857D2E4169EE7a1",
        ),
    ),
)
