"""Between the messages of tidegate.v1 and our values. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from tidegate.admission.arithmetic import MAX_COST
from tidegate.admission.ledger import Extension
from tidegate.api import tidegate_pb2 as pb
from tidegate.api.faults import InvalidCall
from tidegate.edge import IDENTITY_NAMES, IDENTITY_PREFIX, SIGNED_IDENTITY, canonical, is_unwanted
from tidegate.envoy.commands import Abort, Body, Command, Continue, Reply, ResponseHead
from tidegate.envoy.handoff import Handoff
from tidegate.filtering.formats.coverage import Coverage
from tidegate.filtering.sealed import Opened
from tidegate.model import UNITS, Admission, Allow, BodyState, Decision, Deny, Finding, LimitState, Request
from tidegate.outward import Headers, limit_headers, render, trace_headers

_BODY_STATES = {
    pb.BODY_STATE_ABSENT: BodyState.ABSENT,
    pb.BODY_STATE_PARTIAL: BodyState.PARTIAL,
    pb.BODY_STATE_WHOLE: BodyState.WHOLE,
}
_TOO_MUCH = "a cost must be at most 2**40"
_EXTENSIONS = {
    "extended": pb.EXTENSION_EXTENDED,
    "refused": pb.EXTENSION_REFUSED,
    "gone": pb.EXTENSION_GONE,
}
_ENFORCEMENTS = {
    "exact": pb.ENFORCEMENT_EXACT,
    "share": pb.ENFORCEMENT_SHARE,
    "none": pb.ENFORCEMENT_NONE,
}


def request_of(message: pb.DecideRequest, request_id: str) -> Request | Deny:
    """The canonical request, or why there is none. `client_ip` is the caller's word: no hop stands between us."""
    state = _BODY_STATES.get(message.body_state, BodyState.WHOLE if message.body else BodyState.ABSENT)
    return canonical(
        request_id=request_id,
        method=message.method,
        target=f"{message.path}?{message.query}" if message.query else message.path,
        authority=message.host,
        headers=[(header.name, header.value) for header in message.headers],
        scheme=message.scheme,
        client_ip=message.client_ip,
        body=message.body,
        body_state=state,
    )


def costs_of(message: pb.ConsumeRequest | pb.SettleRequest) -> dict[str, int] | None:
    """Costs by unit, or None where one cost is given for every limit. Raises `InvalidCall`."""
    if message.cost > MAX_COST:
        raise InvalidCall(_TOO_MUCH)
    if message.cost and message.costs:
        raise InvalidCall("give cost, or costs by unit, not both")
    return costs_by_unit(message.costs) if message.costs else None


def costs_by_unit(costs: Mapping[str, int]) -> dict[str, int]:
    """Costs as a caller gave them by unit. Raises `InvalidCall`."""
    if max(costs.values(), default=0) > MAX_COST:
        raise InvalidCall(_TOO_MUCH)
    for unit in costs:
        if unit not in UNITS:
            raise InvalidCall(f"unknown unit; known are {', '.join(UNITS)}")
    return dict(costs)


def decide_response(
    decision: Decision,
    *,
    credential_headers: Collection[str] = (),
    exchange: bool = False,
    token: str = "",
    trace: str = "",
) -> pb.DecideResponse:
    """The verdict, with all that its caller has to send on; with a handoff where an `exchange` follows.

    `token` is the context token and `trace` the decision's span as a `traceparent`, "" for none.
    """
    response = pb.DecideResponse(policy_version=decision.policy, request_id=decision.request.id)
    if isinstance(decision.verdict, Allow):
        response.allow.CopyFrom(_allow(decision.verdict))
        identity = decision.verdict.identity
        ours = (identity.subject, identity.tenant, identity.tier, decision.verdict.endpoint)
        named = [(IDENTITY_PREFIX + name, value) for name, value in zip(IDENTITY_NAMES, ours, strict=True)]
        if token:
            named.append((SIGNED_IDENTITY, token))
        response.allow.request_headers.extend(_headers([*named, *decision.verdict.annotations]))
        response.allow.removed_request_headers.extend(_removed(decision.request, credential_headers))
        if exchange:
            handoff = Handoff.of(decision, decision.verdict)
            response.allow.handoff = (handoff._replace(trace=trace) if trace else handoff).encode()
    else:
        response.deny.CopyFrom(_deny(decision, decision.verdict))
    (response.allow if response.HasField("allow") else response.deny).headers.extend(_headers(trace_headers(trace)))
    return response


def reveal_request_of(message: pb.RevealRequest, request_id: str) -> Request | Deny:
    """The call as a request of whoever asks, so that they are identified as for any other."""
    return canonical(
        request_id=request_id,
        method="POST",
        target="/tidegate.v1.PolicyService/Reveal",
        authority="tidegate",
        headers=[(header.name, header.value) for header in message.headers],
        client_ip=message.client_ip,
    )


def reveal_response(answer: Opened | Deny, request_id: str, policy: str) -> pb.RevealResponse:
    """The value, or the refusal."""
    response = pb.RevealResponse(policy_version=policy, request_id=request_id)
    if isinstance(answer, Deny):
        response.deny.CopyFrom(_reply(answer, render(answer, request_id, "problem")))
    else:
        response.revealed.CopyFrom(pb.Revealed(entity=answer.entity, value=answer.value))
    return response


def response_head_of(head: pb.ExchangeRequest.Head) -> ResponseHead:
    """The head event. No proxy stands in between, so every response is the application's own."""
    return ResponseHead(
        status=head.status,
        content_type=head.content_type,
        content_encoding=head.content_encoding,
        end=head.end,
        details="",
        handoff=None,
        tensors=head.tensors,
    )


def add_commands(answer: pb.ExchangeResponse, commands: Iterable[Command], handoff: Handoff | None) -> None:
    """What an exchange commands, added to the one answer that its message gets."""
    for command in commands:
        match command:
            case Continue(set_headers, remove_headers):
                answer.head.SetInParent()
                answer.head.set.extend(_headers(set_headers))
                answer.head.removed.extend(remove_headers)
            case Body(data, end):
                answer.body += data
                answer.end = answer.end or end
            case Reply(deny):
                request_id, dialect = (handoff.request_id, handoff.dialect) if handoff else ("", "problem")
                answer.reply.CopyFrom(_reply(deny, render(deny, request_id, dialect)))
            case Abort():
                answer.aborted = True


def consume_response(admission: Admission) -> pb.ConsumeResponse:
    """What a ledger answered."""
    refused = admission.refused
    return pb.ConsumeResponse(
        admitted=refused is None,
        states=map(limit_state, admission.states),
        refused=None if refused is None else limit_state(refused),
        reservation=admission.reservation,
        enforcement=_ENFORCEMENTS[admission.enforcement],
        shadowed=map(limit_state, admission.shadowed),
    )


def extend_response(extension: Extension) -> pb.ExtendResponse:
    """What a ledger answered."""
    return pb.ExtendResponse(extension=_EXTENSIONS[extension])


def limit_state(state: LimitState) -> pb.LimitState:
    """One limit; what was used beyond it (a settled cost may be) shows as nothing left."""
    return pb.LimitState(
        scope=state.limit.scope,
        name=state.limit.name,
        capacity=state.limit.capacity,
        period_seconds=state.limit.period,
        remaining=max(0, state.remaining),
        reset_after_seconds=state.reset_after,
        retry_after_seconds=state.retry_after,
        unit=state.limit.cost,
        currency=state.limit.currency,
    )


def findings_of(counts: Mapping[tuple[str, str], int]) -> list[pb.Finding]:
    """(entity, action) → count, in a stable order."""
    return [pb.Finding(entity=entity, action=action, count=count) for (entity, action), count in sorted(counts.items())]


def finding_of(finding: Finding | None) -> pb.Finding | None:
    """The one value that blocked a text."""
    if finding is None:
        return None
    return pb.Finding(entity=finding.entity, action=finding.action, count=1, where=finding.where)


def coverage_of(coverage: Coverage) -> pb.Coverage:
    """The receipt of one text."""
    return pb.Coverage(
        format=coverage.format,
        scanned_bytes=coverage.scanned_bytes,
        skipped_bytes=coverage.skipped_bytes,
        scanned_fields=coverage.scanned_fields,
        skipped_fields=coverage.skipped_fields,
        skipped=coverage.skipped,
        structure=coverage.structure,
    )


def _allow(allow: Allow) -> pb.Allow:
    identity = allow.identity
    return pb.Allow(
        subject=identity.subject,
        tenant=identity.tenant,
        tier=identity.tier,
        method=identity.method,
        endpoint=allow.endpoint,
        model=allow.model,
        rulesets=allow.rulesets,
        limits=map(limit_state, allow.admission.states),
        headers=_headers(limit_headers(allow.admission)),
        reservation=allow.admission.reservation,
        price=None if allow.price is None else pb.Price(**allow.price._asdict()),
    )


def _deny(decision: Decision, deny: Deny) -> pb.Deny:
    answer = _reply(deny, render(deny, decision.request.id, decision.dialect))
    if decision.admission is not None:
        answer.headers.extend(_headers(limit_headers(decision.admission)))
        if decision.admission.refused is not None:
            answer.limit.CopyFrom(limit_state(decision.admission.refused))
    return answer


def _reply(deny: Deny, rendered: tuple[int, Headers, bytes]) -> pb.Deny:
    status, headers, body = rendered
    return pb.Deny(
        http_status=status, reason=str(deny.reason), message=deny.message, headers=_headers(headers), body=body
    )


def _removed(request: Request, credential_headers: Collection[str]) -> list[str]:
    """What is false or secret in the headers of a request, and what would make its response unreadable."""
    return [
        name
        for name in request.headers
        if name in credential_headers
        or name == "accept-encoding"
        or name.startswith(IDENTITY_PREFIX)
        or is_unwanted(name)
    ]


def _headers(pairs: Iterable[tuple[str, str]]) -> list[pb.Header]:
    return [pb.Header(name=name, value=value) for name, value in pairs]
