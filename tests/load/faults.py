"""The faults of the chaos run: what strikes, what callers may see of it, and when all must be well again."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from tidegate.envoy.config import PolicyTls

from tests.e2e.certificates import Authority
from tests.load import strikes
from tests.load.checks import Check
from tests.load.kinds import KINDS
from tests.load.scene import SECRET, Scene
from tests.load.stack import POLICY
from tests.load.traffic import Callers

Settings = Callable[[Path], Mapping[str, Any]]


@dataclass(frozen=True)
class Fault:
    """One fault; `strike` breaks something while traffic runs, and returns when that is over.

    `may` are outcomes that any caller may see besides those that are right, `most` the part of all exchanges that may
    have one, and `recovers` the seconds after the strike in which the last of them is over. In an `outage` of the store
    more may be let in; where a worker `dies`, what it was doing may be charged what was reserved, and what it noted
    last is not on record; where the audit log `drops` records, they are counted. `settings` makes more arguments of
    `running_stack` for its directory, `callers` are there besides the usual ones, and `tokens` besides keys: when they
    were issued and when they end, seconds from now, by the name of the caller.
    """

    strike: Callable[[Scene], Awaitable[Sequence[Check]]]
    may: frozenset[str] = frozenset()
    most: float = 0.0
    recovers: float = 0.0
    outage: bool = False
    dies: bool = False
    drops: bool = False
    settings: Settings = lambda _: {}
    callers: tuple[Callers, ...] = ()
    tokens: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def about(self) -> str:
        """What happens, in a sentence."""
        return (self.strike.__doc__ or "").strip().partition("\n")[0]


_BROKEN_OFF: Final = frozenset({"truncated", "reset"})
_OUT: Final = {"store-timeout": 0.25}


def _with_a_log(_: Path) -> Mapping[str, Any]:
    return {"flags": {"log-level": "info"}}


def _kept_by_redis(_: Path) -> Mapping[str, Any]:
    return {"flags": _OUT, "redis_options": ("--appendonly", "yes", "--appendfsync", "always")}


def _in_tls(directory: Path) -> Mapping[str, Any]:
    """TLS both ways; connections of Envoy's that end after a few calls, so that there are handshakes all the time."""
    authority, tls = Authority(), directory / "tls"
    for name in ("client", *map(str, range(strikes.ROTATIONS))):
        authority.issue(tls / name)
    for name in ("ca.pem", "cert.pem", "key.pem"):
        shutil.copy(tls / "0" / name, tls / name)

    def tweak(bootstrap: dict[str, Any]) -> None:
        (policy,) = (one for one in bootstrap["static_resources"]["clusters"] if one["name"] == "tidegate")
        for options in policy["typed_extension_protocol_options"].values():
            options["common_http_protocol_options"] = {"max_requests_per_connection": 10}

    client = tls / "client"
    return {
        "flags": {"tls-cert": tls / "cert.pem", "tls-key": tls / "key.pem", "tls-client-ca": tls / "ca.pem"},
        "tls": PolicyTls(str(tls / "ca.pem"), "tidegate", str(client / "cert.pem"), str(client / "key.pem")),
        "tweak": tweak,
    }


def _to_be_restarted(directory: Path) -> Mapping[str, Any]:
    return {"envoy_options": ("--base-id-path", str(directory / "base-id"), *strikes.DRAIN)}


def _audit_required(_: Path) -> Mapping[str, Any]:
    return {"policy": POLICY.replace("platform:\n", "platform:\n  audit: {required: true}\n", 1)}


def _by_a_clock(directory: Path) -> Mapping[str, Any]:
    """Workers with a clock that can be moved, limits shorter than it moves, and tokens."""
    strikes.write_clock(directory / "clock", 0.0)
    (directory / "secret").write_bytes(SECRET)
    claims = "{tenant: tenant, tier: tier, roles: roles}"
    issuer = f"    shared_secrets: [{{name: app, secret_file: secret, claims: {claims}}}]\n"
    policy = POLICY.replace("  floor:\n", f"{issuer}  floor:\n", 1).replace(
        "window: 1d, per: [subject]", "window: 30m, per: [subject]"
    )
    shifted = Path(__file__).parent / "shifted"
    return {"policy": policy, "env": {"PYTHONPATH": str(shifted), "LOAD_CLOCK": str(directory / "clock")}}


FAULTS: Final[Mapping[str, Fault]] = MappingProxyType(
    {
        "worker-killed": Fault(strikes.kill_a_worker, _BROKEN_OFF | {"500", "503"}, most=0.1, recovers=2, dies=True),
        "rolling-restart": Fault(strikes.replace_the_workers, settings=_with_a_log),
        "redis-frozen": Fault(strikes.freeze_redis, outage=True, settings=lambda _: {"flags": _OUT}),
        "redis-restarted": Fault(strikes.restart_redis, outage=True, settings=_kept_by_redis),
        "policy-reloaded": Fault(strikes.reload_the_policy),
        "certificates": Fault(strikes.rotate_certificates, settings=_in_tls),
        "slow-clients": Fault(strikes.slow_clients),
        "slow-model": Fault(strikes.freeze_the_model),
        # Envoy answers 502 for a head that breaks off, and 503 for none.
        "model-reset": Fault(strikes.reset_the_model, _BROKEN_OFF | {"502", "503"}, most=0.5, recovers=1),
        "envoy-restarted": Fault(strikes.hot_restart_envoy, settings=_to_be_restarted),
        "disk-full": Fault(strikes.fill_the_disk, drops=True),
        "disk-full-required": Fault(
            strikes.fill_the_disk, frozenset({"503"}), most=1.0, recovers=3, settings=_audit_required
        ),
        "clock-moved": Fault(
            strikes.move_the_clock,
            frozenset({"401"}),
            most=0.5,
            recovers=1,
            settings=_by_a_clock,
            callers=(
                Callers(replace(KINDS["chat"], caller="token"), 1, 0.2),
                Callers(replace(KINDS["no-key"], caller="ended"), 1, 0.2),
            ),
            tokens={"token": (-600, 1800), "ended": (-3000, -1800)},
        ),
    }
)
