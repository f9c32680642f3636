"""Tokens of mail, chat and telephone services, and the webhooks that post there.

Compared with the patterns that gitleaks publishes by default: Slack (tokens, webhooks), Telegram, Twilio API keys,
SendGrid, Mailgun, Mailchimp, Brevo (`xkeysib-`), Microsoft Teams, Meta.

Commonly known, and not compared: Discord, Twilio auth tokens, `xsmtpsib-`, Resend, Postmark.
"""

from __future__ import annotations

from tidegate.filtering.detector import FRESH, Detector
from tidegate.filtering.secrets.token import ALNUM, HEX, MADE_UP_UUID, TOKEN_CAP, UUID, made_up, named, shaped, token

MESSAGING: tuple[Detector, ...] = (
    Detector(
        entity="SLACK_TOKEN",
        name="slack",
        check="shape",
        sign=r"xox[a-eoprs]-|xapp-|hooks\.slack\.com",
        guard=FRESH,
        body=r"xox[a-eoprs]-[0-9A-Za-z-]{10,}|xapp-[0-9A-Za-z-]{12,}"
        r"|hooks\.slack\.com\\?\x2f(?:services|workflows|triggers)\\?\x2f(?:[0-9A-Za-z_\x2f-]|\\\x2f){20,}",
        trigger=r"xox[a-eoprs]-[0-9A-Za-z-]{10}|xapp-[0-9A-Za-z-]{12}"
        r"|hooks\.slack\.com\\?\x2f(?:services|workflows|triggers)\\?\x2f(?:[0-9A-Za-z_\x2f-]|\\\x2f){20}",
        run=r"(?:[0-9A-Za-z_/-]|\\/)",
        limit=TOKEN_CAP,
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
    shaped(
        "DISCORD_TOKEN",
        "discord-bot",
        r"[MNO][0-9A-Za-z]{23,25}\.",
        r"[0-9A-Za-z_-]{6}\.[0-9A-Za-z_-]{27,38}",
        (f"M{made_up(ALNUM, 23)}.{made_up(ALNUM, 6)}.{made_up(ALNUM, 27)}",),
        (f"M{made_up(ALNUM, 23)}.{made_up(ALNUM, 6)}", "Module.function.name"),
        wake=r"(?:\b|[_nrt])[MNO][0-9A-Za-z]{23,25}\.",
    ),
    shaped(
        "DISCORD_TOKEN",
        "discord-webhook",
        r"discord(?:app)?\.com\x2fapi\x2fwebhooks\x2f",
        "[0-9]{17,20}\x2f[0-9A-Za-z_-]{60,72}",
        (f"https://discord.com/api/webhooks/123456789012345678/{made_up(ALNUM, 68)}",),
        ("https://discord.com/api/webhooks/123456789012345678",),
        guard="",
    ),
    shaped(
        "TELEGRAM_TOKEN",
        "telegram-bot",
        "[0-9]{8,10}:AA",
        "[0-9A-Za-z_-]{33}",
        (f"123456789:AA{made_up(ALNUM, 33)}",),
        (f"123456789:AA{made_up(ALNUM, 32)}", f"123456:AA{made_up(ALNUM, 33)}"),
        wake="[0-9]:AA",
    ),
    token("TWILIO_KEY", "twilio-api-key", "SK", HEX, 32),
    named("TWILIO_KEY", "twilio-auth-token", "twilio", HEX, 32),
    shaped(
        "SENDGRID_KEY",
        "sendgrid",
        r"SG\.[0-9A-Za-z_-]{22}\.",
        "[0-9A-Za-z_-]{43}",
        (f"SG.{made_up(ALNUM, 22)}.{made_up(ALNUM, 43)}",),
        (f"SG.{made_up(ALNUM, 22)}.{made_up(ALNUM, 42)}", "SG.short.key"),
    ),
    token("MAILGUN_KEY", "mailgun", ("key-", "pubkey-"), HEX, 32),
    shaped(
        "MAILCHIMP_KEY",
        "mailchimp",
        "[0-9a-f]{32}-us",
        "[0-9]{1,2}",
        (f"{made_up(HEX, 32)}-us20",),
        (f"{made_up(HEX, 31)}-us20", f"{made_up(HEX, 32)}-user"),
        wake="[0-9a-f]-us",
    ),
    shaped(
        "BREVO_KEY",
        "brevo",
        "x(?:key|smtp)sib-",
        "[0-9a-f]{64}-[0-9A-Za-z]{16}",
        (f"xkeysib-{made_up(HEX, 64)}-{made_up(ALNUM, 16)}", f"xsmtpsib-{made_up(HEX, 64)}-{made_up(ALNUM, 16)}"),
        (f"xkeysib-{made_up(HEX, 64)}", "xkeysib-short"),
    ),
    shaped(
        "RESEND_KEY",
        "resend",
        "re_[0-9A-Za-z]{8}_",
        "[0-9A-Za-z]{24}",
        (f"re_{made_up(ALNUM, 8)}_{made_up(ALNUM, 24)}",),
        (f"re_{made_up(ALNUM, 8)}_{made_up(ALNUM, 23)}", "re_compiled_pattern"),
    ),
    named("POSTMARK_TOKEN", "postmark", "postmark", HEX, 36, body=UUID, sample=MADE_UP_UUID),
    shaped(
        "TEAMS_WEBHOOK",
        "microsoft-teams",
        r"webhook\.office\.com\x2fwebhookb2\x2f",
        rf"{UUID}@{UUID}\x2fIncomingWebhook\x2f[0-9a-f]{{32}}\x2f{UUID}",
        (
            f"https://example.webhook.office.com/webhookb2/{MADE_UP_UUID}@{MADE_UP_UUID}"
            f"/IncomingWebhook/{made_up(HEX, 32)}/{MADE_UP_UUID}",
        ),
        ("https://example.webhook.office.com/webhookb2/",),
        guard="",
    ),
    token("META_TOKEN", "facebook-access-token", ("EAAM", "EAAC"), ALNUM, 100, None),
)
