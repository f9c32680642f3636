"""Whether what says who somebody is can be told apart, and leads to tenants, tiers and endpoints that there are."""

from __future__ import annotations

from collections.abc import Sequence

from tidegate.policy.credentials import (
    IdentityMethods,
    Introspection,
    Issuer,
    RoutedIntrospection,
    SharedSecret,
)
from tidegate.policy.declared import Declared, refer, refer_one
from tidegate.policy.document import Path
from tidegate.policy.validate import Report


def audiences(identity: IdentityMethods) -> set[str]:
    """What tokens may be for."""
    introspections = [*identity.introspections, *([identity.introspection] if identity.introspection else ())]
    return {
        audience for one in (*identity.issuers, *identity.shared_secrets, *introspections) for audience in one.audiences
    }


def check_identity(identity: IdentityMethods, names: Declared, report: Report) -> None:
    """Report issuers, introspections and workloads that are there twice, and names that lead nowhere."""
    seen: dict[str, set[str | None]] = {"name": set(), "issuer": set()}
    sections: dict[str, Sequence[Issuer | SharedSecret]] = {
        "issuers": identity.issuers,
        "shared_secrets": identity.shared_secrets,
    }
    for section, listed in sections.items():
        for index, issuer in enumerate(listed):
            path: Path = ("platform", "identity", section, index)
            for key, value in (("name", issuer.name), ("issuer", issuer.issuer)):
                if value in seen[key]:
                    whose = "without an issuer" if value is None else f"for the issuer {value!r}"
                    report.at(path if value is None else (*path, key), f"a second entry {whose}")
                seen[key].add(value)
            _check_claims(issuer, path, names, report)
    _check_introspection(identity, seen["name"], names, report)
    ids: set[str] = set()
    for index, workload in enumerate(identity.workloads):
        path = ("platform", "identity", "workloads", index)
        if workload.id in ids:
            report.at((*path, "id"), f"a second entry for {workload.id!r}")
        ids.add(workload.id)
        refer_one("tenant", workload.tenant, names.tenants, (*path, "tenant"), report)
        refer_one("tier", workload.tier, names.tiers, (*path, "tier"), report)
        refer("endpoint", workload.endpoints or (), names.endpoints, (*path, "endpoints"), report)
    if identity.xfcc_from and not identity.workloads:
        report.at(("platform", "identity", "xfcc_from"), "there are no workloads that they could name")


def _check_introspection(identity: IdentityMethods, seen: set[str | None], names: Declared, report: Report) -> None:
    """No name is another's, and no token has two that may be asked."""
    within: Path = ("platform", "identity")
    every: list[tuple[Path, Introspection]] = []
    if identity.introspection is not None:
        every.append(((*within, "introspection"), identity.introspection))
    every += [((*within, "introspections", index), one) for index, one in enumerate(identity.introspections)]
    taken: dict[tuple[str, str], str] = {}
    for path, one in every:
        if one.name in seen:
            report.at((*path, "name"), f"a second entry for the issuer {one.name!r}")
        seen.add(one.name)
        _check_claims(one, path, names, report)
        if isinstance(one, RoutedIntrospection):
            refer("endpoint", one.endpoints, names.endpoints, (*path, "endpoints"), report)
            for kind in ("prefixes", "endpoints"):
                for index, value in enumerate(getattr(one, kind)):
                    if (other := taken.setdefault((kind, value), one.name)) != one.name:
                        report.at((*path, kind, index), f"{value!r} is {other!r}'s already")


def _check_claims(source: Issuer | SharedSecret | Introspection, path: Path, names: Declared, report: Report) -> None:
    claims, defaults = source.claims, source.claims.defaults
    refer("tenant", source.tenants or (), names.tenants, (*path, "tenants"), report)
    if source.tenants is not None and defaults.tenant is not None and defaults.tenant not in source.tenants:
        message = f"{defaults.tenant!r} is not among the tenants of {source.name!r}"
        report.at((*path, "claims", "defaults", "tenant"), message)
    if defaults.tenant is not None:
        refer_one("tenant", defaults.tenant, names.tenants, (*path, "claims", "defaults", "tenant"), report)
    if defaults.tier is not None:
        refer_one("tier", defaults.tier, names.tiers, (*path, "claims", "defaults", "tier"), report)
    for key in ("tenant", "tier"):
        if report.whole and getattr(claims, key) is None and getattr(defaults, key) is None:
            report.at((*path, "claims"), f"no {key}: none of its tokens could be used; give {key} or defaults.{key}")
