"""The checks of a request as the pipeline asks for them: what is long is read beside the event loop."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final
from weakref import WeakKeyDictionary

from tidegate.envoy.aside import Aside, effort_of
from tidegate.errors import DetectorUnavailable
from tidegate.filtering.ruleset import merge
from tidegate.filtering.spotting import Effort
from tidegate.filtering.staged import unfindable
from tidegate.inbound.body import Content, content_of, structure_fault, unstructured
from tidegate.inbound.checks import RequestChecks
from tidegate.inbound.reading import Rules, inspect
from tidegate.model import Deny, Inspection, Reason, Request
from tidegate.policy.compiled import Endpoint, Policy

_VIEWS: Final = 4
_UNAVAILABLE = Deny(
    503,
    Reason.PROMPT_UNCHECKED,
    "The request cannot be checked now.",
    (("retry-after", "1"),),
    detail="detector unavailable",
    rule="prompt",
)


class Inspector:
    """Checks requests under a policy. In `shadow` nothing is refused, and all is told."""

    def __init__(self, *, shadow: bool = False) -> None:
        self._shadow = shadow
        self._aside = Aside("inspect")
        self._rules: WeakKeyDictionary[RequestChecks, Rules | None] = WeakKeyDictionary()

    async def accept(self, checks: RequestChecks, request: Request) -> Content | Deny:
        """The cheap checks, to be made before anything is charged: what the body holds, or why it is refused."""
        packed = checks.compressed == "decode" and "content-encoding" in request.headers
        effort = effort_of(Effort.QUICK, checks.max_size if packed else len(request.body))
        return await self._aside.run(partial(self._accept, checks, request), effort)

    async def inspect(self, policy: Policy, endpoint: Endpoint, content: Content) -> tuple[Inspection, Deny | None]:
        """The dear ones: what was found in the prompts, and the refusal if there is one."""
        checks = endpoint.request
        assert checks is not None  # noqa: S101 - there is content only where there are checks
        try:
            rules = self._rules_of(policy, endpoint, checks)
            # A text is scored in several views.
            size = content.size if checks.injection is None else content.size * _VIEWS
            effort = effort_of(rules.plan.effort if rules else Effort.QUICK, size)
            inspection, deny = await self._aside.run(partial(inspect, rules, checks.injection, content), effort)
        except DetectorUnavailable:
            inspection, deny = Inspection(unread={"detector_unavailable": 1}), _UNAVAILABLE
        if content.fault:
            inspection = replace(inspection, fault=content.fault)
        return inspection, None if self._lenient(checks) else deny

    def _accept(self, checks: RequestChecks, request: Request) -> Content | Deny:
        content = content_of(checks, request)
        lenient = self._lenient(checks)
        if isinstance(content, Deny):
            return Content(unread="refused", fault=content.detail) if lenient else content
        fault = structure_fault(checks, content)
        if not fault:
            return content
        if lenient or (checks.schema is not None and checks.schema.act == "annotate"):
            return replace(content, fault=fault)
        return unstructured(fault)

    def _lenient(self, checks: RequestChecks) -> bool:
        return self._shadow or checks.shadow

    def _rules_of(self, policy: Policy, endpoint: Endpoint, checks: RequestChecks) -> Rules | None:
        if checks not in self._rules:
            name = endpoint.name
            plan = merge(checks.rules, None, policy.spotters_of(name), policy.allowed_of(name))
            if lacking := unfindable(plan):
                raise DetectorUnavailable(f"nothing finds {', '.join(sorted(lacking))} on endpoint {name!r}")
            self._rules[checks] = Rules.of(plan) if plan.actions else None
        return self._rules[checks]
