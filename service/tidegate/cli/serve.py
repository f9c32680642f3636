"""`tidegate serve`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from tidegate.errors import TidegateError
from tidegate.settings import Settings, SettingsError, Tls, read_pepper
from tidegate.supervisor import supervise


def serve(
    policy: Annotated[Path, typer.Option(envvar="TIDEGATE_POLICY", help="Policy document (YAML).")],
    listen: Annotated[str, typer.Option(envvar="TIDEGATE_LISTEN", help="host:port or unix:/path.")] = "127.0.0.1:9401",
    metrics: Annotated[str, typer.Option(envvar="TIDEGATE_METRICS", help="host:port.")] = "127.0.0.1:9501",
    store: Annotated[str, typer.Option(envvar="TIDEGATE_STORE", help="memory:// or redis://…")] = "memory://",
    workers: Annotated[int, typer.Option(envvar="TIDEGATE_WORKERS", min=1, max=64, help="Processes.")] = 1,
    replicas: Annotated[int, typer.Option(envvar="TIDEGATE_REPLICAS", min=1, help="Processes that share limits.")] = 1,
    key_pepper_file: Annotated[Path | None, typer.Option(envvar="TIDEGATE_KEY_PEPPER_FILE")] = None,
    tls_cert: Annotated[Path | None, typer.Option(envvar="TIDEGATE_TLS_CERT", help="PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(envvar="TIDEGATE_TLS_KEY", help="PEM.")] = None,
    tls_client_ca: Annotated[Path | None, typer.Option(envvar="TIDEGATE_TLS_CLIENT_CA", help="Makes it mTLS.")] = None,
    drain: Annotated[float, typer.Option(envvar="TIDEGATE_DRAIN", help="Seconds for streams to finish.")] = 10.0,
    health_grace: Annotated[
        float, typer.Option(envvar="TIDEGATE_HEALTH_GRACE", help="Seconds of NOT_SERVING before refusing new calls.")
    ] = 1.5,
    store_timeout: Annotated[float, typer.Option(envvar="TIDEGATE_STORE_TIMEOUT", help="Seconds.")] = 0.05,
    log_level: Annotated[str, typer.Option(envvar="TIDEGATE_LOG_LEVEL", help="debug|info|warning|error")] = "info",
    worker_index: Annotated[int | None, typer.Option(hidden=True)] = None,
    key_pepper: Annotated[str, typer.Option(envvar="TIDEGATE_KEY_PEPPER", hidden=True)] = "",
) -> None:
    """Serve Check, Process and tidegate.v1 until SIGTERM; SIGHUP reloads the policy."""
    from tidegate.server import serve as run

    try:
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
            tls=Tls(tls_cert, tls_key, tls_client_ca) if tls_cert and tls_key else None,
            drain=drain,
            health_grace=health_grace,
            store_timeout=store_timeout,
            replicas=replicas,
            log_level=log_level,
        )
        if workers > 1 and worker_index is None:
            settings.for_worker(workers - 1)
            arguments = sys.argv[sys.argv.index("serve") + 1 :]
            raise typer.Exit(asyncio.run(supervise(arguments, workers)))
        run(settings.for_worker(worker_index or 0))
    except TidegateError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
