"""Credentials that nobody's prefix marks: what stands behind a word for a secret, in a header, or in a URL.

Sources: RFC 7617 (Basic), RFC 6750 (Bearer), RFC 3986 section 3.2.1 (userinfo).
"""

from __future__ import annotations

from typing import Final

from tidegate.filtering.detector import Detector
from tidegate.filtering.entropy import chosen_part, password_part, random_part, said_part, userinfo
from tidegate.filtering.secrets.token import ALNUM, made_up

GENERIC_SECRET: Final = "GENERIC_SECRET"  # noqa: S105 - a kind of value

_NAMES = (
    r"(?i:api[_ -]?key|secret|token|passw(?:or)?d|passphrase|credential|auth[_ -]?key|private[_ -]?key|access"
    r"[_ -]?key|pwd)"
)
_PASSWORDS = r"(?i:passw(?:or)?d|passphrase|passcode|pwd)"
_MARKS = r"\\?[\x22'*_\x60]{0,3}"
_SAID = (
    rf"{_MARKS}(?:(?:[ ][a-z]{{1,9}}){{0,6}}"
    r"(?:[ ]{0,2}[:=|]\*{0,2}[ \t\n]{0,3}|[ ](?:is|was|be|reads|says)[ ]{1,2})|[ ]{1,2}(?:to[ ])?)"
    rf"{_MARKS}"
)
"""What stands between a word for a secret and the secret, where people talk: a few words more, or nothing."""
_NAMED = rf"{_NAMES}(?i:[_-]?(?:key|value|token))?\\?[\x22'*_\x60]{{0,3}}[ \t]{{0,3}}"

GENERIC: tuple[Detector, ...] = (
    Detector(
        entity="URL_CREDENTIALS",
        name="userinfo",
        sign=":\x2f\x2f",
        guard=r"(?<=[0-9A-Za-z])",
        body=r":\x2f\x2f([^\s\x22'\x60\x2f:@<>?#\\]{0,64}:[^\s\x22'\x60\x2f<>\\]{1,128})@",
        accept=userinfo,
        check="user and password before the host; placeholders are none",
        positives=(
            "postgres://admin:hunter2@db.example.com:5432/app",
            "https://bob:s3cr3t!pass@example.com/",
            "mongodb+srv://svc:p4ss%40word@cluster0.example.net/test",
            "redis://:correct-horse@cache.example.com",
        ),
        negatives=(
            "https://example.com:8080/@bob",
            "https://bob@example.com/",
            "https://example.com/a:b@c",
            "postgres://user:password@localhost/db",
            "postgres://$USER:$PASSWORD@host/db",
            "postgres://{user}:{password}@host/db",
        ),
    ),
    Detector(
        entity="HTTP_CREDENTIALS",
        name="authorization-header",
        sign="(?i:authorization)",
        body=r"(?i:authorization)\\?[\x22'\x60*]{0,3}[ ]?[:=,][\x22'\x60* \t]{0,4}\\?[\x22']?(?i:basic|bearer"
        r"|token|apikey|digest)[ ]{1,3}([0-9A-Za-z._~+\x2f=-]{16,512})",
        ahead=r"[^0-9A-Za-z._~+\x2f=-]",
        accept=random_part(3.0),
        check="entropy",
        positives=(
            f"Authorization: Bearer {made_up(ALNUM, 32)}",
            "authorization: Basic Ym9iOmh1bnRlcjIh",
            f"{{'Authorization': 'Bearer {made_up(ALNUM, 40)}'}}",
            f'-H "Authorization: token {made_up(ALNUM, 40)}"',
        ),
        negatives=(
            "Authorization: Bearer <token>",
            "Authorization: Bearer $TOKEN",
            "authorization is bearer of news",
            "Authorization: Bearer xxxxxxxxxxxxxxxxxxxxxxxx",
        ),
    ),
    Detector(
        entity=GENERIC_SECRET,
        name="quoted",
        sign=_NAMES,
        body=rf"{_NAMED}(?:=>|:=|[:=])\*{{0,2}}[ \t]{{0,3}}\\?[\x22'*_\x60]{{1,3}}("
        rf"[^\s\x22'\x60<>{{}}()$\\]{{10,128}})[\x22'\x60\\*]",
        accept=password_part,
        check="entropy, letters and digits; placeholders are none",
        positives=(
            f'api_key = "{made_up(ALNUM, 24)}"',
            f"client_secret: '{made_up(ALNUM, 32)}'",
            'password="Tr0ub4dor&3x9Q"',
            f'"token": "{made_up(ALNUM, 20)}"',
            f"**API key:** `{made_up(ALNUM, 24)}`",
        ),
        negatives=(
            'api_key = "YOUR_API_KEY_HERE"',
            'password = "changeme"',
            "token = get_token(user_id_2)",
            'token: "example-token-12345"',
            'secret = "aaaaaaaaaaaaaaaaaaaa1"',
            'password: "must_be_at_least_12_characters"',
        ),
    ),
    Detector(
        entity=GENERIC_SECRET,
        name="assigned",
        sign=_NAMES,
        body=rf"{_NAMED}=[ \t]{{0,3}}([0-9A-Za-z_+\x2f=-]{{16,128}})",
        ahead=r"[^0-9A-Za-z_+\x2f=.(\[-]|\.[^0-9A-Za-z_]",
        accept=password_part,
        check="entropy, letters and digits; placeholders are none",
        positives=(f"API_KEY={made_up(ALNUM, 24)}", f"export CLIENT_SECRET={made_up(ALNUM, 32)}"),
        negatives=(
            "API_KEY=short1",
            "token=parse_token_at_2nd_place(x)",
            "secret_key=settings.SECRET_KEY_2",
            "TOKEN=$GITHUB_TOKEN_1",
        ),
    ),
    Detector(
        entity=GENERIC_SECRET,
        name="said",
        sign=_NAMES,
        body=rf"{_NAMES}(?i:[_-]?(?:key|value|token))?{_SAID}([0-9A-Za-z_+\x2f=-]{{16,128}})",
        ahead=r"[^0-9A-Za-z_+\x2f=.(\[-]|\.[^0-9A-Za-z_]",
        loose=True,
        accept=said_part,
        check="entropy, letters and digits; placeholders are none",
        positives=(
            f"api_key: {made_up(ALNUM, 24)}",
            f"Your client secret is {made_up(ALNUM, 32)}.",
            f"check that the password reads `{made_up(ALNUM, 24)}`",
            f"the token for the staging server: {made_up(ALNUM, 24)}",
            f"(client secret {made_up(ALNUM, 24)})",
            f"I have changed your API key to {made_up(ALNUM, 24)}.",
            f"| API key | {made_up(ALNUM, 24)} |",
            f"- **Client secret:** {made_up(ALNUM, 24)}",
        ),
        negatives=(
            "the secret is that nobody counted to 1000000000000000",
            f"Your GitHub token is nobody's: x{made_up(ALNUM, 9)}",
            "The API key page moved to projects/abcdef-123456/locations/eu",
            "a token for the build 4f9a2c7b0d5e81634f9a2c7b0d5e81634f9a2c7b",
            "the secret of this digest: 4f9a2c7b0d5e81634f9a2c7b0d5e81634f9a2c7b",
            "token id is 4f9a2c7b-0d5e-4163-9a2c-7b0d5e81634f",
        ),
    ),
    Detector(
        entity=GENERIC_SECRET,
        name="password-said",
        sign=_PASSWORDS,
        body=rf"{_PASSWORDS}{_SAID}([^\s\x22'\x60<>{{}}()|\\,;$\[\]\xa0]{{8,64}})",
        ahead=r"[\s\x22'\x60<>|,;)}\]\\\xa0]",
        loose=True,
        accept=chosen_part,
        check="letters, digits, and signs or both cases; placeholders, names of fields and of algorithms are none",
        positives=(
            "Here is the password: Tr0ub4dor&3",
            "the password for the guest network is Tiger1180!",
            "her password was 'dragon1282!' until yesterday",
            "log in with the password Tiger491@ and change it",
            '"db_password": "C0ff33#dragon"',
            "Passphrase: Horse-moon-52",
            "PASSWORD=Sommer1882!",
        ),
        negatives=(
            "the password is case-sensitive",
            "password: base64-Encoded",
            "password=settings.DB2_Field",
            "password: Db-Password-2",
            "the password has at least 12-16 characters",
            "password: YourChange1!",
            "password is SHA-256 and a passphrase 2FA-enabled",
        ),
    ),
)
