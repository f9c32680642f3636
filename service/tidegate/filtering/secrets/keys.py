"""Private keys and signed tokens, whoever issued them.

Sources: RFC 7468 and RFC 1421 (PEM), RFC 7515 and RFC 7516 (JWT), the age and OpenPGP formats.
"""

from __future__ import annotations

from tidegate.filtering import validators
from tidegate.filtering.detector import FRESH, Detector
from tidegate.filtering.secrets.token import BECH32, token

_JWT_CAP = 1024
_PEM_CAP = 8192
_JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
_PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA7bq0q1yQ\nZk3vB8h1Yw==\n-----END RSA PRIVATE KEY-----"

KEYS: tuple[Detector, ...] = (
    Detector(
        entity="PRIVATE_KEY",
        name="pem",
        check="key material",
        sign=r"-----BEGIN ",
        body=r"-----BEGIN [0-9A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
        r"(?:[\x22'+,;\\ \t]{0,6}\r?\n[ \t]{0,12}[>#|*\x22'\x2f]{1,2}"  # between quoted lines
        r"|\r?\n[A-Za-z][0-9A-Za-z-]*: [ -~]*|[0-9A-Za-z+\x2f= \t\r\n\\]|-[0-9A-Za-z])*"
        r"(?:-----END [0-9A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?",
        trigger=r"-----BEGIN [0-9A-Z ]{0,40}PRIVATE KEY",
        run=r"[0-9A-Za-z+/=\s\\\x22'>#|*,;]",
        limit=_PEM_CAP,
        accept=validators.pem,
        positives=(
            _PEM,
            _PEM.replace("RSA ", ""),
            _PEM.replace("\n", "\\n"),
            _PEM.replace("\n", "\n> "),
            _PEM.replace("\n", '\\n" +\n    "'),
            "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIIGTruncatedInTheMiddle",
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0A\n\nMIIEowIBAAKCAQEA7b",
            "-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: GnuPG v2.0.22 (GNU/Linux)\n\nlQOYBFqzXgEBCADK1s4V8Vn4\n",
        ),
        negatives=("-----BEGIN PRIVATE KEY----- opens it", "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOC"),
    ),
    Detector(
        entity="JWT",
        name="jwt",
        check="a header that names its algorithm",
        sign=r"e(?:y[AJ]|wo|w0)",
        guard=FRESH,
        body=r"e(?:y[AJ]|wo|w0)[0-9A-Za-z_-]{10,}\.\.?[0-9A-Za-z_-]+(?:\.[0-9A-Za-z_-]+){0,3}",
        trigger=r"(?:\b|[_nrt])e(?:y[AJ]|wo|w0)[0-9A-Za-z_-]{10,}\.\.?[0-9A-Za-z_-]",
        run=r"[0-9A-Za-z_.-]",
        limit=_JWT_CAP,
        accept=validators.jwt,
        positives=(
            _JWT,
            _JWT.rpartition(".")[0] + ".",
            "ewogICJhbGciOiAiSFMyNTYiCn0.ewogICJzdWIiOiAiMTIzIgp9.dozjgNryP4J3",
            "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.OKOawDo13gRp2ojaHV7LFpZc.48V1_ALb6US04U3b.5eym8TW_c8Su.XFBoMYUZ",
            "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..48V1_ALb6US04U3b.5eym8TW_c8Su.XFBoMYUZ",
        ),
        negatives=("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", "eyJhbGciOiJI.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abc", "x" + _JWT),
    ),
    token("AGE_SECRET_KEY", "age", "AGE-SECRET-KEY-1", BECH32, 58),
)
