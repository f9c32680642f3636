# ruff: noqa: E501 (a row of the table is a line here)
"""Secrets, by the shapes that their issuers document or that their keys are seen to have."""

from __future__ import annotations

import base64
import json
import textwrap
from random import Random
from typing import Final

from tests.quality.issued.shapes import Draw, Kind, shape, shaped


def _secret(entity: str, service: str, noun: str, *templates: str, draw: Draw | None = None) -> Kind:
    key = f"{service}_{noun}".lower().replace(" ", "_").replace(".", "").replace("-", "_")
    return Kind(entity, draw or shaped(*templates), (f"{service} {noun}",), (key,), bare=False)


def _told(entity: str, *says: str, shape: str) -> Kind:
    return Kind(entity, shaped(shape), (), (), says)


def _segment(value: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).rstrip(b"=").decode()


def _jwt(rng: Random) -> str:
    head = _segment({"alg": rng.choice(("RS256", "HS256", "ES256")), "typ": "JWT"})
    return f"{head}.{_segment({'sub': shape(rng, '{d:10}'), 'iat': 1700000000 + rng.randrange(10**7)})}.{shape(rng, '{u:43}')}"


def _pem(rng: Random) -> str:
    label = rng.choice(("RSA PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY"))
    body = base64.b64encode(rng.randbytes(rng.choice((120, 600)))).decode()
    return f"-----BEGIN {label}-----\n{chr(10).join(textwrap.wrap(body, 64))}\n-----END {label}-----"


def _password(rng: Random) -> str:
    """What a person makes up where letters, digits and a sign are asked for."""
    word, other = rng.sample(("Sommer", "dragon", "Tiger", "blue", "Horse", "Paris", "winter", "Coffee", "moon"), 2)
    number, sign = rng.randrange(10, 3000), rng.choice("!?#*+.-_@&")
    leet = word.replace("o", "0").replace("e", "3").replace("i", "1")
    return rng.choice(
        (
            f"{word}{number}{sign}",
            f"{leet}{sign}{other}{number}",
            f"{word}-{other}-{number}",
            f"{sign}{leet.title()}{number}",
        )
    )


_HANDED: Final = (
    "My token is <v>, please keep it safe.",
    "I set the API key to <v> this morning.",
    "Sure! Use this in your shell:\n\n```sh\nexport API_TOKEN=<v>\n```",
    'Put `api_key = "<v>"` into the file and start again.',
    "The new secret will be <v> from Monday on.",
    "They sent me a token for the staging server: <v>",
    "The client secret that you asked for is <v>.",
    "token <v> expired, so I made another one",
)
_TOLD: Final = (
    "Here is the password: <v>",
    "Log in with the password <v> and change it.",
    "The password for the guest network is <v>.",
    "I changed the password from the old one to <v>, as you asked.",
    "Wi-Fi password: <v>\nRoom: 12",
    "her password was '<v>' until yesterday",
)
SECRETS: Final = (
    Kind("JWT", _jwt, ("session token", "ID token", "JWT"), ("id_token", "access_token")),
    Kind("PRIVATE_KEY", _pem, ("private key",), ("private_key",), ("Keep this file out of the repository:\n\n<v>\n", "```\n<v>\n```")),
    Kind("GENERIC_SECRET", shaped("{w:24}", "{u:32}", "{h:40}"), ("API key", "client secret", "password"), ("api_key", "client_secret", "password", "auth_token"), _HANDED),
    Kind("GENERIC_SECRET", _password, ("password", "temporary password", "passphrase"), ("password", "db_password", "passwd"), _TOLD),
    _secret("AGE_SECRET_KEY", "age", "secret key", draw=lambda rng: "AGE-SECRET-KEY-1" + "".join(rng.choices("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", k=58))),
    _secret("ADOBE_SECRET", "Adobe", "client secret", "p8e-{w:32}"),
    _secret("AIRTABLE_TOKEN", "Airtable", "personal access token", "pat{w:14}.{h:64}"),
    _secret("ALGOLIA_KEY", "Algolia", "admin key", "{h:32}"),
    _secret("ALIBABA_KEY", "Alibaba Cloud", "access key id", "LTAI5t{w:18}"),
    _secret("ANTHROPIC_KEY", "Anthropic", "API key", "sk-ant-api03-{u:93}AA"),
    _secret("ARTIFACTORY_TOKEN", "Artifactory", "API key", "AKCp8{w:68}"),
    _secret("ATLASSIAN_TOKEN", "Atlassian", "API token", "ATATT3xFfGF0{u:160}={H:8}"),
    _secret("AWS_KEY", "AWS", "access key id", draw=lambda rng: rng.choice(("AKIA", "ASIA")) + "".join(rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", k=16))),
    _secret("AWS_KEY", "AWS", "secret access key", "{b:40}"),
    _told("AZURE_KEY", "DefaultEndpointsProtocol=https;AccountName=shop;AccountKey=<v>;EndpointSuffix=core.windows.net", shape="{b:86}=="),
    _secret("AZURE_KEY", "Azure", "client secret", "{w:3}8Q~{w:34}"),
    _secret("BITBUCKET_TOKEN", "Bitbucket", "app password", "ATBB{w:28}{H:4}"),
    _secret("BREVO_KEY", "Brevo", "API key", "xkeysib-{h:64}-{w:16}"),
    _secret("BUILDKITE_TOKEN", "Buildkite", "API token", "bkua_{h:40}"),
    _secret("CIRCLECI_TOKEN", "CircleCI", "token", "CCIPAT_{w:22}_{h:40}"),
    _secret("CLICKUP_TOKEN", "ClickUp", "token", "pk_{d:8}_{A:32}"),
    _secret("CLOJARS_TOKEN", "Clojars", "deploy token", "CLOJARS_{h:60}"),
    _secret("CLOUDFLARE_KEY", "Cloudflare", "API token", "{u:40}"),
    _secret("CODECOV_TOKEN", "Codecov", "upload token", "{uuid}"),
    _secret("COHERE_KEY", "Cohere", "API key", "{w:40}"),
    _secret("COINBASE_KEY", "Coinbase", "API secret", "{w:64}"),
    _secret("CONTENTFUL_TOKEN", "Contentful", "management token", "CFPAT-{u:43}"),
    _secret("CRATES_TOKEN", "crates.io", "token", "cio{w:32}"),
    _secret("DATABRICKS_TOKEN", "Databricks", "token", "dapi{h:32}"),
    _secret("DATADOG_KEY", "Datadog", "application key", "{h:40}"),
    _secret("DEFINED_NETWORKING_KEY", "Defined Networking", "API key", "dnkey-{A:26}-{A:52}"),
    _secret("DIGITALOCEAN_TOKEN", "DigitalOcean", "token", "dop_v1_{h:64}"),
    _secret("DISCORD_TOKEN", "Discord", "bot token", "MTA{w:23}.G{w:5}.{u:38}"),
    _told("DISCORD_TOKEN", "Post it to https://<v> instead.", "WEBHOOK=https://<v>", shape="discord.com/api/webhooks/{d:18}/{u:68}"),
    _secret("DOCKER_TOKEN", "Docker Hub", "token", "dckr_pat_{u:27}"),
    _secret("DOPPLER_TOKEN", "Doppler", "token", "dp.pt.{w:43}"),
    _secret("DROPBOX_TOKEN", "Dropbox", "access token", "sl.{u:135}"),
    _secret("DUFFEL_TOKEN", "Duffel", "token", "duffel_test_{u:43}"),
    _secret("DYNATRACE_TOKEN", "Dynatrace", "token", "dt0c01.{A:24}.{A:64}"),
    _secret("EASYPOST_KEY", "EasyPost", "API key", "EZAK{w:54}"),
    _secret("FIGMA_TOKEN", "Figma", "token", "figd_{u:40}"),
    _secret("FLUTTERWAVE_KEY", "Flutterwave", "secret key", "FLWSECK_TEST-{h:32}-X"),
    _secret("FLYIO_TOKEN", "Fly.io", "access token", "fm2_{b:120}"),
    _secret("FRAMEIO_TOKEN", "Frame.io", "token", "fio-u-{u:64}"),
    _secret("GITHUB_TOKEN", "GitHub", "token", "ghp_{w:36}", "gho_{w:36}", "ghs_{w:36}", "github_pat_{w:22}_{w:59}"),
    _secret("GITLAB_TOKEN", "GitLab", "token", "glpat-{u:20}", "glptt-{h:40}", "gldt-{u:20}"),
    _secret("GOOGLE_KEY", "Google", "API key", "AIza{u:35}"),
    _secret("GOOGLE_KEY", "Google", "client secret", "GOCSPX-{u:28}"),
    _secret("GRAFANA_TOKEN", "Grafana", "service account token", "glsa_{w:32}_{h:8}"),
    _secret("GROQ_KEY", "Groq", "API key", "gsk_{w:52}"),
    _secret("HARNESS_KEY", "Harness", "API key", "pat.{w:22}.{h:24}.{w:20}"),
    _secret("HEROKU_KEY", "Heroku", "API key", "{uuid}", "HRKU-AA{u:58}"),
    _secret("HUBSPOT_TOKEN", "HubSpot", "private app token", "pat-na1-{uuid}", "pat-eu1-{uuid}"),
    _secret("HUGGINGFACE_TOKEN", "Hugging Face", "token", draw=lambda rng: "hf_" + "".join(rng.choices("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", k=34))),
    _secret("INFRACOST_KEY", "Infracost", "API key", "ico-{w:32}"),
    _secret("LANGSMITH_KEY", "LangSmith", "API key", "lsv2_pt_{h:32}_{h:10}"),
    _secret("LAUNCHDARKLY_KEY", "LaunchDarkly", "SDK key", "sdk-{uuid}"),
    _secret("LINEAR_KEY", "Linear", "API key", "lin_api_{w:40}"),
    _secret("MAILCHIMP_KEY", "Mailchimp", "API key", "{h:32}-us{n:1}"),
    _secret("MAILGUN_KEY", "Mailgun", "API key", "key-{h:32}"),
    _secret("MAPBOX_TOKEN", "Mapbox", "secret token", "sk.eyJ1Ijo{w:70}.{u:22}"),
    _secret("META_TOKEN", "Facebook", "page access token", "EAAC{w:180}"),
    _secret("MISTRAL_KEY", "Mistral", "API key", "{w:32}"),
    _secret("NEON_KEY", "Neon", "API key", "napi_{a:64}"),
    _secret("NETLIFY_TOKEN", "Netlify", "token", "nfp_{w:40}"),
    _secret("NEW_RELIC_KEY", "New Relic", "user key", "NRAK-{A:27}"),
    _secret("NOTION_TOKEN", "Notion", "integration token", "ntn_{d:11}{w:35}", "secret_{w:43}"),
    _secret("NPM_TOKEN", "npm", "token", "npm_{w:36}"),
    _secret("NUGET_KEY", "NuGet", "API key", "oy2{a:43}"),
    _secret("NVIDIA_KEY", "NVIDIA", "API key", "nvapi-{u:64}"),
    _secret("OCTOPUS_DEPLOY_KEY", "Octopus Deploy", "API key", "API-{A:26}"),
    _secret("OKTA_TOKEN", "Okta", "API token", "00{u:40}"),
    _secret("ONEPASSWORD_KEY", "1Password", "secret key", "A3-{A:6}-{A:11}-{A:5}-{A:5}-{A:5}", "A3-{A:6}-{A:6}-{A:5}-{A:5}-{A:5}-{A:5}"),
    _secret("OPENAI_KEY", "OpenAI", "API key", "sk-proj-{u:74}T3BlbkFJ{u:74}", "sk-{w:20}T3BlbkFJ{w:20}", "sk-svcacct-{u:74}T3BlbkFJ{u:74}"),
    _secret("OPENROUTER_KEY", "OpenRouter", "API key", "sk-or-v1-{h:64}"),
    _secret("OPENSHIFT_TOKEN", "OpenShift", "token", "sha256~{u:43}"),
    _secret("PAGERDUTY_KEY", "PagerDuty", "API key", "u+{u:18}", "{u:20}"),
    _secret("PAYPAL_TOKEN", "Braintree", "access token", "access_token$production${a:16}${h:32}"),
    _secret("PERPLEXITY_KEY", "Perplexity", "API key", "pplx-{w:48}"),
    _secret("PINECONE_KEY", "Pinecone", "API key", "pcsk_{w:6}_{w:63}"),
    _secret("PLAID_TOKEN", "Plaid", "access token", "access-sandbox-{uuid}"),
    _secret("PLANETSCALE_TOKEN", "PlanetScale", "password", "pscale_pw_{u:43}"),
    _secret("POSTHOG_KEY", "PostHog", "personal key", "phx_{w:43}"),
    _secret("POSTMAN_KEY", "Postman", "API key", "PMAK-{h:24}-{h:34}"),
    _secret("POSTMARK_TOKEN", "Postmark", "server token", "{uuid}"),
    _secret("PREFECT_KEY", "Prefect", "API key", "pnu_{w:36}"),
    _secret("PULUMI_TOKEN", "Pulumi", "access token", "pul-{h:40}"),
    _secret("PYPI_TOKEN", "PyPI", "token", "pypi-AgEIcHlwaS5vcmc{u:150}"),
    _secret("RAZORPAY_KEY", "Razorpay", "key id", "rzp_live_{w:14}", "rzp_test_{w:14}"),
    _secret("README_KEY", "ReadMe", "API key", "rdme_{a:70}"),
    _secret("REPLICATE_TOKEN", "Replicate", "token", "r8_{w:37}"),
    _secret("RESEND_KEY", "Resend", "API key", "re_{w:8}_{w:24}"),
    _secret("RUBYGEMS_TOKEN", "RubyGems", "API key", "rubygems_{h:48}"),
    _secret("SCALINGO_TOKEN", "Scalingo", "token", "tk-us-{u:48}"),
    _secret("SENDGRID_KEY", "SendGrid", "API key", "SG.{u:22}.{u:43}"),
    _secret("SENTRY_TOKEN", "Sentry", "user token", "sntryu_{h:64}"),
    _secret("SHIPPO_TOKEN", "Shippo", "token", "shippo_live_{h:40}"),
    _secret("SHOPIFY_TOKEN", "Shopify", "access token", "shpat_{h:32}"),
    _secret("SLACK_TOKEN", "Slack", "token", "xoxb-{d:12}-{d:13}-{w:24}", "xoxp-{d:12}-{d:12}-{d:13}-{h:32}"),
    _told("SLACK_TOKEN", "Alerts go to https://<v> since May.", "SLACK_WEBHOOK=https://<v>", shape="hooks.slack.com/services/T{A:8}/B{A:10}/{w:24}"),
    _secret("SNYK_TOKEN", "Snyk", "token", "{uuid}"),
    _secret("SONARQUBE_TOKEN", "SonarQube", "token", "sqp_{h:40}", "squ_{h:40}"),
    _secret("SOURCEGRAPH_TOKEN", "Sourcegraph", "access token", "sgp_{h:16}_{h:40}"),
    _secret("SQUARE_TOKEN", "Square", "access token", "EAAA{u:60}", "sq0atp-{u:22}"),
    _secret("STRIPE_KEY", "Stripe", "secret key", "sk_live_{w:24}", "sk_test_51{w:97}", "rk_live_{w:24}"),
    _secret("SUPABASE_KEY", "Supabase", "access token", "sbp_{h:40}"),
    _secret("TAILSCALE_KEY", "Tailscale", "auth key", "tskey-auth-k{w:8}CNTRL-{w:32}"),
    _told("TEAMS_WEBHOOK", "Alerts go to https://contoso.<v> since May.", "hook: https://contoso.<v>", shape="webhook.office.com/webhookb2/{uuid}@{uuid}/IncomingWebhook/{h:32}/{uuid}"),
    _secret("TELEGRAM_TOKEN", "Telegram", "bot token", "{n:1}{d:9}:AA{u:33}"),
    _secret("TENCENT_KEY", "Tencent Cloud", "secret id", "AKID{w:32}"),
    _secret("TERRAFORM_TOKEN", "Terraform Cloud", "token", "{w:14}.atlasv1.{w:67}"),
    _secret("TRAVIS_TOKEN", "Travis CI", "token", "{w:22}"),
    _secret("TWILIO_KEY", "Twilio", "auth token", "{h:32}"),
    _secret("TWILIO_KEY", "Twilio", "API key SID", "SK{h:32}"),
    _secret("TYPEFORM_TOKEN", "Typeform", "token", "tfp_{u:44}_{w:14}"),
    _secret("VAULT_TOKEN", "Vault", "token", "hvs.CAESI{u:86}", "hvs.{w:24}"),
    _secret("WANDB_KEY", "Weights & Biases (wandb)", "API key", "{h:40}"),
    _secret("XAI_KEY", "xAI", "API key", "xai-{w:80}"),
    _secret("YANDEX_KEY", "Yandex Cloud", "API key", "AQVN{u:36}"),
)  # fmt: skip
