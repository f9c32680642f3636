"""Whether the regions that rules name for telephone numbers are known, and a rule looks for such numbers."""

from __future__ import annotations

from collections.abc import Sequence

from tidegate.filtering import phones
from tidegate.filtering.detectors import expand
from tidegate.policy.document import Path
from tidegate.policy.schema import Document
from tidegate.policy.validate import Report, suggestion

_ALSO = {"UK": "GB", "EN": "GB"}


def check_regions(document: Document, report: Report) -> None:
    """Report regions that there are not, and those of rules that look for no telephone numbers."""
    for name, rules in document.rulesets.items():
        for index, rule in enumerate(rules):
            _check(rule.detect, rule.regions, ("rulesets", name, index, "regions"), report)
    for name, endpoint in document.endpoints.items():
        for index, prompt in enumerate(endpoint.request.rules if endpoint.request is not None else ()):
            path: Path = ("endpoints", name, "request", "rules", index, "regions")
            _check(prompt.detect, prompt.regions, path, report)


def _check(detect: Sequence[str], regions: Sequence[str], path: Path, report: Report) -> None:
    if regions and phones.ENTITY not in expand(detect):
        report.at(path, f"is for {phones.ENTITY} alone")
    for place, region in enumerate(regions):
        if region not in phones.REGIONS:
            meant = _ALSO.get(region)
            hint = suggestion(region, phones.REGIONS) if meant is None else f"; did you mean {meant!r}?"
            report.at((*path, place), f"unknown region {region!r}{hint}")
