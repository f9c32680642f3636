"""Detectors of credentials. The shapes are the ones that the issuers publish for secret scanning.

Sources: AWS IAM unique-id prefixes, GitHub's token format, OpenAI's `sk-` keys, Slack token types and webhook URLs,
Google API keys and OAuth tokens, RFC 7515 (JWT), RFC 7468 and RFC 1421 (PEM).
"""

from __future__ import annotations

from tidegate.filtering import validators
from tidegate.filtering.detector import FRESH, Detector

_TOKEN_CAP = 256
_JWT_CAP = 1024
_PEM_CAP = 8192
_JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
_PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA7bq0q1yQ\nZk3vB8h1Yw==\n-----END RSA PRIVATE KEY-----"

SECRETS: tuple[Detector, ...] = (
    Detector(
        entity="PRIVATE_KEY",
        name="pem",
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
    Detector(
        entity="AWS_KEY",
        name="aws-access-key-id",
        guard=FRESH,
        body=r"(?:AKIA|ASIA|ABIA|ACCA|A3T[0-9A-Z])[0-9A-Z]{16}",
        ahead=r"[^0-9A-Z]",
        positives=("AKIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE"),
        negatives=("AKIAIOSFODNN7EXAMPL", "AKIAIOSFODNN7EXAMPLES", "XAKIAIOSFODNN7EXAMPLE", "akiaiosfodnn7example"),
    ),
    Detector(
        entity="AWS_KEY",
        name="aws-secret-access-key",
        body=r"(?i:aws[_ .-]?secret|(?:aws[_ .-]?)?secret[_ .-]?(?:access[_ .-]?)?key)"
        r"\\?[\x22'*_\x60]{0,3}[ \t]{0,4}(?:=>|[:=>]|is)\*{0,2}[ \t]{0,4}\\?[\x22'*_\x60]{0,3}([0-9A-Za-z\x2f+]{40})",
        ahead=r"[^0-9A-Za-z\x2f+]",
        accept=validators.secret_part,
        positives=(
            "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            'AWS_SECRET_ACCESS_KEY="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"',
            "**Secret access key:** `wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY`",
            "secret_key='wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'",
            '"SecretAccessKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"',
        ),
        negatives=("aws_secret_access_key = short", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    ),
    Detector(
        entity="GITHUB_TOKEN",
        name="github",
        guard=FRESH,
        body=r"gh[pousr]_[0-9A-Za-z]{36,}|github_pat_[0-9A-Za-z_]{22,}",
        trigger=r"gh[pousr]_[0-9A-Za-z]{36}|github_pat_[0-9A-Za-z_]{22}",
        run=r"[0-9A-Za-z_]",
        limit=_TOKEN_CAP,
        positives=(
            "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
            "ghs_16C7e42F292c6912E7710c838347Ae178B4a",
            "github_pat_11ABCDEFG0aBcDeFgHiJkL_mNoPqRsTuVwXyZ0123456789",
        ),
        negatives=(
            "ghp_short",
            "ghx_16C7e42F292c6912E7710c838347Ae178B4a",
            "github_pat_",
            "ghp_16C7e42F-92c6912E7710c838347Ae178B4a",
        ),
    ),
    Detector(
        entity="OPENAI_KEY",
        name="openai",
        guard=FRESH,
        body=r"sk-[0-9A-Za-z_-]{20,}",
        trigger=r"(?:\b|[_nrt])sk-[0-9A-Za-z_-]{20}",
        run=r"[0-9A-Za-z_-]",
        limit=_TOKEN_CAP,
        accept=validators.random_key,
        positives=(
            "sk-abcdefghijklmnopqrstT3BlbkFJabcdefghijklmnopqrst",
            "sk-proj-Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8_Qr9-St0",
            "sk-svcacct-Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8Qr9St0",
        ),
        negatives=("sk-learn", "sk-cube-grid-animation-delay-long-name-2", "task-Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8"),
    ),
    Detector(
        entity="SLACK_TOKEN",
        name="slack",
        guard=FRESH,
        body=r"xox[a-eoprs]-[0-9A-Za-z-]{10,}|xapp-[0-9A-Za-z-]{12,}"
        r"|hooks\.slack\.com\\?\x2f(?:services|workflows|triggers)\\?\x2f(?:[0-9A-Za-z_\x2f-]|\\\x2f){20,}",
        trigger=r"xox[a-eoprs]-[0-9A-Za-z-]{10}|xapp-[0-9A-Za-z-]{12}"
        r"|hooks\.slack\.com\\?\x2f(?:services|workflows|triggers)\\?\x2f(?:[0-9A-Za-z_\x2f-]|\\\x2f){20}",
        run=r"(?:[0-9A-Za-z_/-]|\\/)",
        limit=_TOKEN_CAP,
        positives=(
            "xoxb-123456789012-abcdefABCDEF",
            "xoxp-1234567890-1234567890",
            "xapp-1-A0123456789-abcdef",
            "xoxc-123456789012-abcdefABCDEF",
            r"https:\/\/hooks.slack.com\/services\/T00000000\/B00000000\/XXXXXXXXXXXXXXXXXXXXXXXX",
            "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",
        ),
        negatives=("xoxb-", "xoxz-123456789012-abcdef", "https://hooks.slack.com/services/"),
    ),
    Detector(
        entity="GOOGLE_KEY",
        name="google",
        guard=FRESH,
        body=r"AIza[0-9A-Za-z_-]{35,}|ya29\.[0-9A-Za-z_-]{20,}|GOCSPX-[0-9A-Za-z_-]{20,}",
        trigger=r"AIza[0-9A-Za-z_-]{35}|ya29\.[0-9A-Za-z_-]{20}|GOCSPX-[0-9A-Za-z_-]{20}",
        run=r"[0-9A-Za-z_-]",
        limit=_TOKEN_CAP,
        positives=(
            "AIzaSyA-1234567890abcdefghijklmnopqrstu",
            "ya29.a0AfH6SMBabcdefghijklmnop",
            "GOCSPX-abcdefghijklmnopqrstuvwxyz12",
        ),
        negatives=("AIzaShort", "ya29.short", "GOCSPX-x"),
    ),
)
