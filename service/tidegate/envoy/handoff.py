"""What Check tells Process about an exchange, carried by Envoy as dynamic metadata between the two calls.

It names everything that Process needs, so either call may reach any replica. Clients cannot write it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal, NamedTuple

import orjson

from tidegate.admission.queue.terms import Ticket
from tidegate.errors import ProtocolViolation
from tidegate.model import Allow, Decision, Hold, Price, Proof

NAMESPACE = "envoy.filters.http.ext_authz"
FIELD = "tidegate"
_VERSION = 8
_OPENING = f'[{_VERSION},"'
_LEAST_LEASE = 1.0  # seconds


class Handoff(NamedTuple):
    """One admitted exchange. `max_response` is bytes that may be held whole; `policy` the deciding version.

    `reservation` is what has to be settled when the response is over, "" when nothing; `prompt_tokens` is what was
    reserved for the prompt; `price` is the model's, as it was at the decision, where money has to be settled; `hold` is
    what the reservation holds. `ticket` is the place that the exchange takes in its endpoint's capacity, "" when none.
    `conversation` is what the caller says that the exchange is part of, "" when nothing. `structured` tells that a
    structure is demanded of the response. `proof` is what the response hangs on while it runs, None when it ends by
    itself. `trace` is Check's span as a traceparent (W3C Trace Context), "" where nothing is traced.
    """

    request_id: str
    policy: str
    subject: str
    tenant: str
    tier: str
    endpoint: str
    model: str
    rulesets: tuple[str, ...]
    dialect: Literal["openai", "problem"]
    unscannable: Literal["withhold", "pass"]
    max_response: int
    reservation: str = ""
    prompt_tokens: int = 0
    price: Price | None = None
    hold: Hold = Hold()
    ticket: str = ""
    conversation: str = ""
    structured: bool = False
    proof: Proof | None = None
    trace: str = ""

    def encode(self) -> str:
        """One JSON array in field order: small, and the same on both sides of a rolling restart of one version."""
        *others, price, hold, ticket, conversation, structured, proof, trace = self
        paid, proved = [] if price is None else [*price], [] if proof is None else [*proof]
        rest = [ticket, conversation, structured, proved, trace]
        return orjson.dumps([_VERSION, *others, paid, [*hold], *rest]).decode()

    @classmethod
    def of(cls, decision: Decision, allow: Allow) -> Handoff:
        """What `decision`, which is to `allow`, has to tell."""
        identity = allow.identity
        return cls(
            decision.request.id,
            decision.policy,
            identity.subject,
            identity.tenant,
            identity.tier,
            allow.endpoint,
            allow.model,
            allow.rulesets,
            decision.dialect,
            allow.unscannable,
            allow.max_response,
            allow.admission.reservation,
            allow.prompt_tokens,
            allow.price,
            allow.hold,
            allow.ticket,
            allow.conversation,
            allow.structured,
            allow.proof,
        )

    @classmethod
    def decode(cls, text: str) -> Handoff:
        """Raises `ProtocolViolation` for anything that `encode` of this version did not write."""
        begun, mark, rest = text.partition('",')
        request_id = begun.removeprefix(_OPENING)
        if mark and request_id != begun and "\\" not in request_id and request_id.isprintable():
            return _decoded(f'{_OPENING}",{rest}')._replace(request_id=request_id)
        return _decoded(text)


@lru_cache(maxsize=1024)
def _decoded(text: str) -> Handoff:
    """One without its request id: without a reservation a caller's are all the same."""
    try:
        *first, reservation, prompt, price, hold, ticket, conversation, structured, proof, trace = orjson.loads(text)
        version, *strings, rulesets, dialect, unscannable, cap = first
        seconds, amounts, limits, lease = hold
    except (ValueError, TypeError) as error:
        raise ProtocolViolation("the decision handed over by Check is not readable") from error
    sound = (
        type(version) is int
        and version == _VERSION
        and len(strings) == 7
        and all(type(value) is str for value in strings)
        and isinstance(rulesets, list)
        and all(type(name) is str for name in rulesets)
        and dialect in ("openai", "problem")
        and unscannable in ("withhold", "pass")
        and type(cap) is int
        and type(reservation) is str
        and type(prompt) is int
        and prompt >= 0
        and isinstance(price, list)
        and len(price) in (0, len(Price._fields))
        and all(type(part) is int and part >= 0 for part in price)
        and type(seconds) in (int, float)
        and type(lease) in (int, float)
        and isinstance(amounts, list)
        and all(map(_is_amount, amounts))
        and isinstance(limits, list)
        and all(type(name) is str for name in limits)
        and min(seconds, lease) >= 0
        and type(ticket) is str
        and (not ticket or _is_ticket(ticket))
        and type(conversation) is str
        and type(structured) is bool
        and isinstance(proof, list)
        and (not proof or _is_proof(proof))
        and type(trace) is str
    )
    if not sound:
        raise ProtocolViolation("the decision handed over by Check has another shape")
    request_id, policy, subject, tenant, tier, endpoint, model = strings
    caller = (request_id, policy, subject, tenant, tier, endpoint, model)
    paid = Price(*price) if price else None
    held = Hold(seconds, tuple([(unit, amount) for unit, amount in amounts]), tuple(limits), lease)
    how = (tuple(rulesets), dialect, unscannable, cap)
    proved = Proof(*proof) if proof else None
    return Handoff(*caller, *how, reservation, prompt, paid, held, ticket, conversation, structured, proved, trace)


def _is_ticket(text: str) -> bool:
    """Whether it is a ticket of a policy's: one with a shorter lease would be renewed without end."""
    try:
        return Ticket.parse(text).lease >= _LEAST_LEASE
    except ValueError:
        return False


def _is_proof(parts: list[Any]) -> bool:
    if len(parts) != len(Proof._fields):
        return False
    *names, issued, expires, asked = parts
    moments = all(moment is None or type(moment) in (int, float) for moment in (issued, expires, asked))
    return moments and all(type(name) is str for name in names)


def _is_amount(value: Any) -> bool:
    if not (isinstance(value, list) and len(value) == 2):
        return False
    return type(value[0]) is str and type(value[1]) is int and value[1] >= 0
