"""Keys of model providers and of the tools around models.

Compared with the patterns that gitleaks publishes by default: OpenAI, Hugging Face, Cohere. Of several public scanners
that agree with each other: OpenRouter, Replicate, Groq, Perplexity, xAI.

Commonly known, and not compared: Anthropic, LangSmith, NVIDIA, Pinecone, Mistral, Weights & Biases. Cohere, Mistral and
Weights & Biases print no prefix.
"""

from __future__ import annotations

from tidegate.filtering import validators
from tidegate.filtering.detector import FRESH, Detector
from tidegate.filtering.secrets.token import ALNUM, HEX, TOKEN_CAP, WORD, made_up, named, shaped, token

MODELS: tuple[Detector, ...] = (
    token(
        "ANTHROPIC_KEY",
        "anthropic",
        ("sk-ant-api03-", "sk-ant-admin01-", "sk-ant-oat01-", "sk-ant-sid01-"),
        WORD,
        40,
        None,
    ),
    token("OPENROUTER_KEY", "openrouter", "sk-or-v1-", HEX, 64),
    Detector(
        entity="OPENAI_KEY",
        name="openai",
        check="digits, a run without hyphens",
        sign=r"sk-",
        guard=FRESH,
        body=r"sk-[0-9A-Za-z_-]{20,}",
        trigger=r"(?:\b|[_nrt])sk-[0-9A-Za-z_-]{20}",
        run=r"[0-9A-Za-z_-]",
        limit=TOKEN_CAP,
        accept=validators.random_key,
        positives=(
            "sk-abcdefghijklmnopqrstT3BlbkFJabcdefghijklmnopqrst",
            "sk-proj-Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8_Qr9-St0",
            "sk-svcacct-Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8Qr9St0",
        ),
        negatives=("sk-learn", "sk-cube-grid-animation-delay-long-name-2", "task-Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8"),
    ),
    token("HUGGINGFACE_TOKEN", "huggingface", ("hf_", "api_org_"), ALNUM, 34),
    token("REPLICATE_TOKEN", "replicate", "r8_", ALNUM, 37),
    token("GROQ_KEY", "groq", "gsk_", ALNUM, 52),
    token("PERPLEXITY_KEY", "perplexity", "pplx-", ALNUM, 48),
    token("XAI_KEY", "xai", "xai-", ALNUM, 80),
    shaped(
        "LANGSMITH_KEY",
        "langsmith",
        "lsv2_(?:pt|sk)_",
        "[0-9a-f]{32}_[0-9a-f]{10}",
        (f"lsv2_pt_{made_up(HEX, 32)}_{made_up(HEX, 10)}", f"lsv2_sk_{made_up(HEX, 32)}_{made_up(HEX, 10)}"),
        (f"lsv2_pt_{made_up(HEX, 32)}", f"lsv2_xx_{made_up(HEX, 32)}_{made_up(HEX, 10)}"),
    ),
    token("NVIDIA_KEY", "nvidia", "nvapi-", WORD, 64),
    token("PINECONE_KEY", "pinecone", "pcsk_", "0-9A-Za-z_", 64, None),
    named("COHERE_KEY", "cohere", "cohere|co", ALNUM, 40),
    named("MISTRAL_KEY", "mistral", "mistral", ALNUM, 32),
    named("WANDB_KEY", "wandb", "wandb|weights[ _](?:and|&)[ _]biases", HEX, 40),
)
