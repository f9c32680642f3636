"""What lets through what must not pass."""

from __future__ import annotations

from typing import Final

from tidegate.envoy.traps.finders import (
    body_mode,
    cached,
    flag,
    missing,
    no_response_mode,
    out_of_order,
    sampled,
    trailing,
    unseen,
    upgraded,
)
from tidegate.envoy.traps.trap import Trap

LEAKS: Final = (
    Trap(
        "missing-filter",
        "leaks",
        "ext_authz or ext_proc is not in this file: nobody decides, or nobody reads answers",
        "add what `tidegate envoy-config --filters-only` prints",
        missing,
    ),
    Trap(
        "undecided",
        "leaks",
        "Process decides here, and does not see requests: models run for anybody, and every answer is withheld",
        "set request_header_mode: SEND",
        unseen,
    ),
    Trap(
        "trailers-for-a-body",
        "leaks",
        "trailers without a body go on undecided, with their request: models run for anybody",
        "set request_trailer_mode: SEND where request_body_mode is BUFFERED",
        trailing,
    ),
    Trap(
        "mutation-rules",
        "leaks",
        "what Process may not change stays: a caller's credential goes to the model, with what the caller says it is",
        "leave mutation_rules out",
        lambda parts: (one.at("mutation_rules") for one in parts.deciding),
    ),
    Trap(
        "filter-order",
        "leaks",
        "ext_proc stands before ext_authz, so it sees no decision and withholds everything",
        "put ext_authz first",
        out_of_order,
    ),
    Trap(
        "fail-open",
        "leaks",
        "requests and answers pass unchecked while the policy service is away",
        "set failure_mode_allow: false",
        lambda parts: (
            *flag((*parts.authz, *parts.procs), "failure_mode_allow"),
            *flag(parts.overrides, "overrides", "failure_mode_allow"),
        ),
    ),
    Trap(
        "filter-off",
        "leaks",
        "what this is said of goes around the policy",
        "remove it, unless nothing behind the route needs a policy",
        lambda parts: flag((*parts.guards, *parts.overrides), "disabled"),
    ),
    Trap(
        "sampled",
        "leaks",
        "requests for which this does not hold are asked about by nobody",
        "leave it out, unless those need no policy",
        sampled,
    ),
    Trap(
        "around",
        "leaks",
        "a model behind the policy is reached here without it",
        "put ext_authz and ext_proc before it, or let nobody reach this listener",
        lambda parts: parts.around,
    ),
    Trap(
        "upgrade-around",
        "leaks",
        "who asks for this upgrade passes these filters in the place of the policy",
        "leave filters out of upgrade_configs",
        upgraded,
    ),
    Trap(
        "cached",
        "leaks",
        "what the cache has is given to callers on whom nobody decided",
        "put the cache after ext_proc",
        cached,
    ),
    Trap(
        "observed",
        "leaks",
        "answers leave as they came while the policy service looks on",
        "leave observability_mode out",
        lambda parts: flag(parts.procs, "observability_mode"),
    ),
    Trap(
        "mode-override",
        "leaks",
        "an override by message corrupts framing, hangs, or sends empty bodies",
        "leave allow_mode_override out",
        lambda parts: flag(parts.procs, "allow_mode_override"),
    ),
    Trap(
        "no-response-mode",
        "leaks",
        "answers are not shown to the policy service, whatever its rulesets say",
        "set response_body_mode: FULL_DUPLEX_STREAMED",
        no_response_mode,
    ),
    Trap(
        "buffered-partial",
        "leaks",
        "what does not fit into the buffer passes unread",
        "set response_body_mode: FULL_DUPLEX_STREAMED",
        body_mode("BUFFERED_PARTIAL"),
    ),
    Trap(
        "streamed",
        "leaks",
        "text that is held back is lost when trailers arrive, and every chunk needs one answer",
        "set response_body_mode: FULL_DUPLEX_STREAMED",
        body_mode("STREAMED"),
    ),
)
"""The worst first."""
