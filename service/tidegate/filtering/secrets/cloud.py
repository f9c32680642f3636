"""Keys of clouds, of what runs in them, and of what keeps secrets there.

Compared with the patterns that gitleaks publishes by default: AWS access key ids, Google API keys, Azure client
secrets, Alibaba, Yandex, DigitalOcean, Cloudflare (API token and origin CA), Heroku (UUID), Fly.io, Scalingo, Vault
(`hvs.`, `hvb.`), HCP Terraform, Doppler (`dp.pt.`), Pulumi, Infracost, Databricks, OpenShift, 1Password. Compared with
those of kingfisher: Netlify. Where two lengths are published, a row takes both.

Commonly known, and not compared: the AWS secret key and Bedrock keys, the other Google prefixes, Azure storage keys and
SAS, Tencent, `HRKU-`, `hvr.`, the other Doppler kinds, Snowflake.
"""

from __future__ import annotations

from tidegate.filtering import validators
from tidegate.filtering.detector import FRESH, Detector
from tidegate.filtering.secrets.token import (
    ALNUM,
    BASE64,
    HEX,
    MADE_UP_UUID,
    TOKEN_CAP,
    UUID,
    WORD,
    made_up,
    named,
    shaped,
    token,
)

CLOUD: tuple[Detector, ...] = (
    Detector(
        entity="AWS_KEY",
        name="aws-access-key-id",
        check="shape",
        sign=r"A(?:KIA|SIA|BIA|CCA|3T)",
        guard=FRESH,
        body=r"(?:AKIA|ASIA|ABIA|ACCA|A3T[0-9A-Z])[0-9A-Z]{16}",
        ahead=r"[^0-9A-Z]",
        positives=("AKIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE"),
        negatives=("AKIAIOSFODNN7EXAMPL", "AKIAIOSFODNN7EXAMPLES", "XAKIAIOSFODNN7EXAMPLE", "akiaiosfodnn7example"),
    ),
    Detector(
        entity="AWS_KEY",
        name="aws-secret-access-key",
        check="shape",
        sign=r"(?i:aws|secret)",
        body=r"(?i:aws[_ .-]?secret|(?:aws[_ .-]?)?secret[_ .-]?(?:access[_ .-]?)?key)"
        r"\\?[\x22'*_\x60]{0,3}[ \t]{0,4}(?:=>|[:=>]|is|reads|\|)?\*{0,2}[ \t]{0,4}"
        r"\\?[\x22'*_\x60]{0,3}([0-9A-Za-z\x2f+]{40})",
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
        entity="GOOGLE_KEY",
        name="google",
        check="shape",
        sign=r"AIza|ya29\.|GOCSPX-",
        guard=FRESH,
        body=r"AIza[0-9A-Za-z_-]{35,}|ya29\.[0-9A-Za-z_-]{20,}|GOCSPX-[0-9A-Za-z_-]{20,}",
        trigger=r"AIza[0-9A-Za-z_-]{35}|ya29\.[0-9A-Za-z_-]{20}|GOCSPX-[0-9A-Za-z_-]{20}",
        run=r"[0-9A-Za-z_-]",
        limit=TOKEN_CAP,
        positives=(
            "AIzaSyA-1234567890abcdefghijklmnopqrstu",
            "ya29.a0AfH6SMBabcdefghijklmnop",
            "GOCSPX-abcdefghijklmnopqrstuvwxyz12",
        ),
        negatives=("AIzaShort", "ya29.short", "GOCSPX-x"),
    ),
    token("AWS_KEY", "aws-bedrock", ("ABSK",), BASE64, 109, 269),
    shaped(
        "AZURE_KEY",
        "azure-storage",
        "(?i:accountkey|sharedaccesskey)",
        f"[ ]?=[ ]?[{BASE64}]{{43,86}}={{1,2}}",
        (f"AccountKey={made_up(BASE64, 86)}==", f"SharedAccessKey={made_up(BASE64, 43)}="),
        ("AccountKey=abc==", "AccountKey=" + "A" * 86 + "=="),
        guard="",
        ahead=f"[^{BASE64}=]",
    ),
    shaped(
        "AZURE_KEY",
        "azure-client-secret",
        "[0-9A-Za-z_~.]{3}[0-9]Q~",
        "[0-9A-Za-z_~.-]{31,34}",
        ("4fK9Q~" + made_up(ALNUM, 34), "a~.8Q~" + made_up(ALNUM, 31)),
        ("4fKxQ~" + made_up(ALNUM, 34), "4fK9Q~" + "x" * 34),
        guard=r"(?:(?<![0-9A-Za-z_~.-])|(?<=\\[nrt]))",
        ahead="[^0-9A-Za-z_~-]",
        wake="[0-9]Q~",
    ),
    shaped(
        "AZURE_KEY",
        "azure-sas",
        "sig=",
        rf"[{ALNUM}%+\x2f]{{43,63}}=",
        (f"sig={made_up(ALNUM, 46)}=",),
        (f"sig={made_up(ALNUM, 46)}", "sig=" + "a" * 46 + "="),
    ),
    token("ALIBABA_KEY", "alibaba-access-key-id", "LTAI", ALNUM, 12, 20),
    named("ALIBABA_KEY", "alibaba-secret", "alibaba|aliyun|alicloud", ALNUM, 30),
    token("TENCENT_KEY", "tencent-secret-id", "AKID", ALNUM, 32),
    token("YANDEX_KEY", "yandex-api-key", "AQVN", WORD, 35, 38),
    token("DIGITALOCEAN_TOKEN", "digitalocean", ("dop_v1_", "doo_v1_", "dor_v1_"), HEX, 64),
    shaped(
        "CLOUDFLARE_KEY",
        "cloudflare-origin-ca",
        r"v1\.0-[0-9a-f]{24}-",
        "[0-9a-f]{146}",
        (f"v1.0-{made_up(HEX, 24)}-{made_up(HEX, 146)}",),
        (f"v1.0-{made_up(HEX, 24)}-{made_up(HEX, 145)}", "v1.0-beta"),
    ),
    named("CLOUDFLARE_KEY", "cloudflare-api-token", "cloudflare|cf", WORD, 40),
    token("HEROKU_KEY", "heroku", "HRKU-AA", WORD, 58),
    named("HEROKU_KEY", "heroku-uuid", "heroku", HEX, 36, body=UUID, sample=MADE_UP_UUID),
    token("FLYIO_TOKEN", "flyio", "fo1_", WORD, 43),
    token("FLYIO_TOKEN", "flyio-macaroon", ("fm1r_", "fm1a_", "fm2_"), BASE64, 100, None),
    token("NETLIFY_TOKEN", "netlify", "nfp_", ALNUM, 36, 48),
    token("SCALINGO_TOKEN", "scalingo", "tk-us-", WORD, 48),
    token("VAULT_TOKEN", "vault", ("hvs.", "hvb.", "hvr."), WORD, 24, None),
    shaped(
        "TERRAFORM_TOKEN",
        "hcp-terraform",
        r"[0-9A-Za-z]{14}\.atlasv1\.",
        "[0-9A-Za-z_=-]{60,70}",
        (f"{made_up(ALNUM, 14)}.atlasv1.{made_up(ALNUM, 64)}",),
        (f"{made_up(ALNUM, 14)}.atlasv1.{made_up(ALNUM, 20)}", f"{made_up(ALNUM, 14)}.atlasv2.{made_up(ALNUM, 64)}"),
        wake=r"\.atlasv1\.",
    ),
    shaped(
        "DOPPLER_TOKEN",
        "doppler",
        r"dp\.(?:pt|st|ct|sa|scim|audit)\.",
        r"(?:[0-9a-z_-]{2,35}\.)?[0-9A-Za-z]{40,44}",
        (f"dp.pt.{made_up(ALNUM, 43)}", f"dp.st.prd.{made_up(ALNUM, 43)}"),
        (f"dp.pt.{made_up(ALNUM, 20)}", f"dp.xy.{made_up(ALNUM, 43)}"),
    ),
    token("PULUMI_TOKEN", "pulumi", "pul-", HEX, 40),
    token("INFRACOST_KEY", "infracost", "ico-", ALNUM, 32),
    token("DATABRICKS_TOKEN", "databricks", "dapi", HEX, 32),
    token("SNOWFLAKE_TOKEN", "snowflake-pat", "pat-sf-", WORD, 40, None),
    token("OPENSHIFT_TOKEN", "openshift", "sha256~", WORD, 43),
    token("ONEPASSWORD_KEY", "1password-service-account", "ops_eyJ", BASE64, 100, None),
    shaped(
        "ONEPASSWORD_KEY",
        "1password-secret-key",
        "A3-[0-9A-Z]{6}-",
        "(?:[0-9A-Z]{11}|[0-9A-Z]{6}-[0-9A-Z]{5})(?:-[0-9A-Z]{5}){3}",
        ("A3-4FK9AQ-2XZ7MB-0CW5T-R8UJ3-DY6VE-1NHPG",),
        ("A3-4FK9AQ-2XZ7MB-0CW5T", "A3-PAPER-SIZE-FOR-PRINT"),
    ),
)
