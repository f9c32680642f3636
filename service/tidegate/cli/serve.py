"""`tidegate serve`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from tidegate.cli.faults import one_line
from tidegate.lifeline import Lifeline
from tidegate.settings import Settings, SettingsError, Tls, read_pepper
from tidegate.supervisor import supervise

_CLOSING: Final = 15.0
"""Seconds that a worker gets, once its streams have ended, for what they left to settle, put on record and send."""


def serve(
    policy: Annotated[Path, typer.Option(envvar="TIDEGATE_POLICY", help="Policy document (YAML).")],
    listen: Annotated[
        str, typer.Option(envvar="TIDEGATE_LISTEN", help="gRPC: host:port, [v6]:port or unix:/path.")
    ] = "127.0.0.1:9401",
    metrics: Annotated[
        str, typer.Option(envvar="TIDEGATE_METRICS", help="Prometheus metrics: host:port or [v6]:port.")
    ] = "127.0.0.1:9501",
    store: Annotated[
        str,
        typer.Option(
            envvar="TIDEGATE_STORE",
            help="Where limits are counted: memory://, redis://, rediss://, unix://, or a Redis Cluster: "
            "redis+cluster://host:port,host:port, rediss+cluster://",
        ),
    ] = "memory://",
    workers: Annotated[
        int, typer.Option(envvar="TIDEGATE_WORKERS", min=1, max=64, help="Processes; worker i listens on port + i.")
    ] = 1,
    replicas: Annotated[
        int,
        typer.Option(envvar="TIDEGATE_REPLICAS", min=1, help="Processes that share the limits, until the store knows."),
    ] = 1,
    key_pepper_file: Annotated[
        Path | None,
        typer.Option(
            envvar="TIDEGATE_KEY_PEPPER_FILE", help="The pepper that API keys were made with, 16 bytes or more."
        ),
    ] = None,
    pseudonym_keys_file: Annotated[
        Path | None,
        typer.Option(
            envvar="TIDEGATE_PSEUDONYM_KEYS_FILE",
            help="Secrets of reversible pseudonyms, 32 bytes or more, one a line: the first seals, all reveal.",
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(envvar="TIDEGATE_TLS_CERT", help="Serve TLS: certificate (PEM).")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(envvar="TIDEGATE_TLS_KEY", help="Its key (PEM).")] = None,
    tls_client_ca: Annotated[
        Path | None, typer.Option(envvar="TIDEGATE_TLS_CLIENT_CA", help="Ask for client certificates of this CA (PEM).")
    ] = None,
    drain: Annotated[
        float, typer.Option(envvar="TIDEGATE_DRAIN", min=0, help="Seconds that streams get to finish on SIGTERM.")
    ] = 10.0,
    health_grace: Annotated[
        float,
        typer.Option(
            envvar="TIDEGATE_HEALTH_GRACE", min=0, help="Seconds of NOT_SERVING before new calls are refused."
        ),
    ] = 1.5,
    hang_timeout: Annotated[
        int,
        typer.Option(
            envvar="TIDEGATE_HANG_TIMEOUT",
            min=2,
            help="Of several workers: seconds of silence after which one is killed and started again.",
        ),
    ] = 30,
    store_timeout: Annotated[
        float,
        typer.Option(envvar="TIDEGATE_STORE_TIMEOUT", min=0.001, help="Seconds that a decision waits for the store."),
    ] = 0.05,
    shadow: Annotated[
        bool,
        typer.Option(
            "--shadow",
            envvar="TIDEGATE_SHADOW",
            help="Find and count in responses, the floor's rules too, and change or withhold nothing.",
        ),
    ] = False,
    audit: Annotated[
        str,
        typer.Option(
            envvar="TIDEGATE_AUDIT",
            help="Where audit records are kept: file:///directory, or a Redis as for --store; docs/audit.md.",
        ),
    ] = "",
    otlp: Annotated[
        str,
        typer.Option(
            envvar="TIDEGATE_OTLP",
            help="Where traces go: http://host:4317 or https://, OTLP over gRPC; extra 'otel', docs/traces.md.",
        ),
    ] = "",
    log_level: Annotated[str, typer.Option(envvar="TIDEGATE_LOG_LEVEL", help="debug|info|warning|error")] = "info",
    worker_index: Annotated[int | None, typer.Option(hidden=True)] = None,
    lifeline: Annotated[int | None, typer.Option(hidden=True)] = None,
    key_pepper: Annotated[str, typer.Option(envvar="TIDEGATE_KEY_PEPPER", hidden=True)] = "",
) -> None:
    """Run the policy service until SIGTERM.

    SIGHUP reads the policy again, SIGUSR2 replaces one worker after another. It answers Envoy (ext_authz, ext_proc) and
    clients (tidegate.v1) on one gRPC address, with health and reflection.
    """
    from tidegate.seal_keys import read_seal_keys
    from tidegate.server import serve as run
    from tidegate.startup import check_settings
    from tidegate.telemetry import logger
    from tidegate.telemetry.workers import Workers

    with one_line():
        if (tls_cert is None) != (tls_key is None) or (tls_client_ca and not tls_cert):
            raise SettingsError("--tls-cert and --tls-key go together, and --tls-client-ca needs both")
        if log_level not in ("debug", "info", "warning", "error"):
            raise SettingsError(f"--log-level: '{log_level}' is not one of debug, info, warning, error")
        settings = Settings(
            policy=policy,
            listen=listen,
            metrics=metrics,
            store=store,
            workers=workers,
            pepper=read_pepper(key_pepper_file, key_pepper),
            pseudonym_keys=read_seal_keys(pseudonym_keys_file),
            tls=Tls(tls_cert, tls_key, tls_client_ca) if tls_cert and tls_key else None,
            drain=drain,
            health_grace=health_grace,
            store_timeout=store_timeout,
            replicas=replicas,
            log_level=log_level,
            shadow=shadow,
            audit=audit,
            otlp=otlp,
        )
        if workers > 1 and worker_index is None:
            settings.for_worker(workers - 1)
            check_settings(settings)
            supervised = supervise(
                sys.argv[sys.argv.index("serve") + 1 :],
                workers,
                heard=health_grace,
                patience=health_grace + drain + _CLOSING,
                hung=hang_timeout,
                told=Workers(logger(log_level, sys.stderr.buffer)),
            )
            raise typer.Exit(asyncio.run(supervised))
        run(settings.for_worker(worker_index or 0), None if lifeline is None else Lifeline(lifeline))
