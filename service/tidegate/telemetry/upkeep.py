"""What is said of what a process keeps up: its policy, what it knows of credentials, TLS files, the audit log."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tidegate.audit.chain import Head
from tidegate.clock import Clock
from tidegate.errors import PolicyError
from tidegate.filtering.safety.meter import MODERATION, ModerationMeter
from tidegate.metrics import Metrics
from tidegate.policy.compiled import Policy
from tidegate.settings import SettingsError


class Upkeep:
    """Logs each change and shows how things stand. `certificate_ends` and `tasks` are asked when somebody looks."""

    def __init__(self, metrics: Metrics, log: Any, clock: Clock) -> None:
        self.certificate_ends: Callable[[], Iterable[tuple[str, float]]] = tuple
        self.tasks: Callable[[], int] = lambda: 0
        self._log = log
        self._clock = clock
        self._in_force: float | None = None
        self._moderation = ModerationMeter()
        metrics.collector(self._moderation, *MODERATION)
        self._policy_info = metrics.gauge("policy_info", "1 for the policy version in force", ("version",))
        self._loaded = metrics.gauge(
            "policy_loaded_timestamp_seconds", "When the policy in force was loaded, Unix time"
        )
        metrics.read("policy_age_seconds", "For how long the policy has been in force", self._policy_age)
        self._reload_failures = metrics.counter("policy_reload_failures", "Policy reloads refused")
        self._anonymous = metrics.gauge("anonymous_endpoints", "Endpoints that need no credential")
        self._keys = metrics.gauge("keys_current", "0 while the store of the API keys is out")
        self._revoked = metrics.gauge("revocations_current", "0 while the list of revoked tokens is out")
        self._certificates = metrics.counter("certificate_reloads", "TLS files that had changed", ("outcome",))
        metrics.read(
            "certificate_not_after_timestamp_seconds",
            "When the first certificate of a TLS file expires, Unix time",
            lambda: self.certificate_ends(),
            "file",
        )
        metrics.read("tasks", "Tasks of the event loop, those that wait among them", lambda: (("", self.tasks()),))
        self._audited = metrics.counter("audit_records", "Audit records that were kept")
        self._unaudited = metrics.counter("audit_lost", "Audit records that could not be kept")
        self._audit = metrics.gauge("audit_available", "0 while the audit log cannot be written")
        self._keys.set(1)
        self._revoked.set(1)

    def _policy_age(self) -> Iterable[tuple[str, float]]:
        return () if self._in_force is None else (("", self._clock.monotonic() - self._in_force),)

    def policy(self, policy: Policy) -> None:
        """A policy came into force."""
        self._moderation.follow([*policy.spotters, *(one for each in policy.endpoints for one in each.spotters)])
        self._in_force = self._clock.monotonic()
        self._loaded.set(self._clock.now())
        self._policy_info.clear()
        self._policy_info.labels(policy.version).set(1)
        anonymous = [endpoint.name for endpoint in policy.endpoints if endpoint.anonymous]
        self._anonymous.set(len(anonymous))
        self._log.info("policy in force", policy=policy.version, endpoints=len(policy.endpoints), anonymous=anonymous)

    def policy_refused(self, error: PolicyError) -> None:
        """A reload was refused; the old policy stays."""
        self._reload_failures.inc()
        self._log.error("policy refused, the old one stays", problems=[str(problem) for problem in error.problems])

    def orphaned(self) -> None:
        """The command that started this worker has ended, and did not tell it to."""
        self._log.warning("the supervisor has ended, so does its worker")

    def keys(self, state: str) -> None:
        """What is known of the API keys in the store: "current", "old" while it is out, or "none"."""
        self._keys.set(state == "current")
        if state == "current":
            self._log.info("the API keys are those of the store")
        else:
            self._log.warning("the key store does not answer", keys=state)

    def revocations(self, state: str) -> None:
        """What is known of the revoked tokens in the store: "current", "old" while it is out, or "none"."""
        self._revoked.set(state == "current")
        if state == "current":
            self._log.info("the revoked tokens are those of the store")
        else:
            self._log.warning("the list of revoked tokens does not answer", revocations=state)

    def certificates(self) -> None:
        """Handshakes show other TLS files from now on."""
        self._certificates.labels("taken").inc()
        self._log.info("TLS files taken")

    def certificates_refused(self, error: SettingsError) -> None:
        """TLS files have changed and cannot be used; the old ones stay."""
        self._certificates.labels("refused").inc()
        self._log.error("TLS files refused, the old ones stay", problem=str(error))

    def audit_written(self, records: int) -> None:
        """Audit records were kept."""
        self._audited.inc(records)

    def audit_lost(self, records: int) -> None:
        """Audit records were given up."""
        self._unaudited.inc(records)

    def audit_state(self, available: bool, why: str) -> None:
        """The audit log cannot be written, or can again."""
        self._audit.set(available)
        if available:
            self._log.info("the audit log is written")
        else:
            self._log.error("the audit log cannot be written", why=why)

    def audit_head(self, writer: str, head: Head, why: str) -> None:
        """Where the chain of audit records ends: kept elsewhere, it shows whether its end was cut off."""
        self._log.info("audit head", head=f"{writer}:{head.seq}:{head.hash}", why=why)
