"""What each figure is to reach."""

from __future__ import annotations

from tests.bench import overspend

GOALS: dict[str, tuple[str, float]] = {
    "check_memory_ratio": (">=", 0.7),
    "check_redis_ratio": (">=", 0.45),
    "check_jwt_ratio": (">=", 0.9),
    "jwt_cold_ratio": ("<=", 1.5),
    "patterns_mb_s": (">=", 40.0),
    "patterns_times_presidio": (">=", 500.0),
    "patterns_times_presidio_without_model": (">=", 300.0),
    "safety_mb_s": (">=", 2.0),
    "safety_found_in_10000_characters": ("<", 1.0),
    "names_times_presidio": (">=", 5.0),
    "names_f1_over_presidio": (">=", 0.0),
    "sse_first_text_added_ms": ("<", 5.0),
    "sse_one_call_first_text_added_ms": ("<", 5.0),
    "check_redis_five_ratio": (">=", 0.5),
    "check_half_of_saturation": (">=", 0.45),
    "check_half_p99_ms": ("<", 5.0),
    "check_half_p99_ratio": ("<=", 3.0),
    "ledger_times_limits_package": (">=", 2.0),
    "exhausted_times": (">=", 3.0),
    **{f"overspend_{kind}_requests": ("==", 1.0) for kind in overspend.KINDS},
    **{f"overspend_{kind}_tokens": ("<=", 1.0) for kind in overspend.KINDS},
    "scale_memory_bytes_a_key_ratio": ("<=", 1.25),
    "scale_redis_bytes_a_key_ratio": ("<=", 1.25),
    "scale_redis_operations_ratio": ("<=", 1.05),
    "scale_redis_calls": ("==", 1.0),
    "workers_ratio": (">=", 1.7),
    "envoy_charges_a_request": ("==", 1.0),
    "envoy_tidegate_over_empty": (">=", 0.7),
    "envoy_tidegate_times_litellm": (">=", 8.0),
    "envoy_one_call_over_empty": (">=", 0.7),
    "envoy_one_call_times_litellm": (">=", 8.0),
}


def met(figure: str, value: float) -> bool | None:
    """Whether a figure meets its goal; None when it has none."""
    if figure not in GOALS:
        return None
    sign, goal = GOALS[figure]
    return {">=": value >= goal, "<": value < goal, "<=": value <= goal, "==": value == goal}[sign]
