"""The `tidegate` command. One file a command; each imports what it needs only when it runs."""

from __future__ import annotations

import typer

from tidegate.cli import demo, envoy_config, keys, policy, serve

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.command("serve")(serve.serve)
app.command("envoy-config")(envoy_config.envoy_config)
app.command("demo")(demo.demo)
app.add_typer(policy.app, name="policy", help="Check a policy document; print its JSON Schema.")
app.add_typer(keys.app, name="keys", help="Create API keys.")
