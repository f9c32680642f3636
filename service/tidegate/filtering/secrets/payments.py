"""Keys of payment providers and shops.

Compared with the patterns that gitleaks publishes by default: Stripe API keys, Square (`EAAA`, `sq0atp-`), Shopify,
Plaid, Flutterwave, EasyPost, Duffel, Shippo, Coinbase.

Commonly known, and not compared: Stripe webhook secrets, `sq0csp-`, Braintree, Razorpay. Coinbase prints no prefix.
"""

from __future__ import annotations

from tidegate.filtering.detector import Detector
from tidegate.filtering.secrets.token import (
    ALNUM,
    BASE64,
    HEX,
    HEX_BOTH,
    LOWER,
    MADE_UP_UUID,
    UUID,
    WORD,
    made_up,
    named,
    shaped,
    token,
)

PAYMENTS: tuple[Detector, ...] = (
    token(
        "STRIPE_KEY",
        "stripe",
        ("sk_live_", "rk_live_", "sk_test_", "rk_test_", "sk_prod_", "rk_prod_"),
        ALNUM,
        16,
        None,
    ),
    token("STRIPE_KEY", "stripe-webhook", "whsec_", BASE64, 32, None),
    token("SQUARE_TOKEN", "square", "EAAA", WORD, 60),
    token("SQUARE_TOKEN", "square-access", "sq0atp-", WORD, 22),
    token("SQUARE_TOKEN", "square-secret", "sq0csp-", WORD, 43),
    shaped(
        "PAYPAL_TOKEN",
        "braintree",
        r"access_token\$(?:production|sandbox)\$",
        r"[0-9a-z]{16}\$[0-9a-f]{32}",
        (f"access_token$production${made_up(LOWER, 16)}${made_up(HEX, 32)}",),
        ("access_token$production$x", f"access_token$test${made_up(LOWER, 16)}${made_up(HEX, 32)}"),
    ),
    token("SHOPIFY_TOKEN", "shopify", ("shpat_", "shpca_", "shppa_", "shpss_"), HEX_BOTH, 32),
    shaped(
        "PLAID_TOKEN",
        "plaid",
        "access-(?:sandbox|development|production)-",
        UUID,
        (f"access-sandbox-{MADE_UP_UUID}",),
        ("access-sandbox-mode", f"access-test-{MADE_UP_UUID}"),
    ),
    shaped(
        "FLUTTERWAVE_KEY",
        "flutterwave",
        "FLWSECK(?:_TEST)?-",
        "[0-9a-z]{12,32}-X",
        (f"FLWSECK_TEST-{made_up(LOWER, 32)}-X",),
        (f"FLWSECK_TEST-{made_up(LOWER, 32)}", "FLWSECK-x-X"),
    ),
    token("EASYPOST_KEY", "easypost", ("EZAK", "EZTK"), ALNUM, 54),
    token("RAZORPAY_KEY", "razorpay", ("rzp_live_", "rzp_test_"), ALNUM, 14),
    token("DUFFEL_TOKEN", "duffel", ("duffel_test_", "duffel_live_"), "0-9A-Za-z_=-", 43),
    token("SHIPPO_TOKEN", "shippo", ("shippo_live_", "shippo_test_"), HEX, 40),
    named("COINBASE_KEY", "coinbase", "coinbase", WORD, 64),
)
