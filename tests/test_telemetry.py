"""What is said of the limit store."""

from __future__ import annotations

import io
import json

from tidegate.clock import SystemClock
from tidegate.telemetry import Telemetry


def test_an_outage_is_told_once_and_so_is_its_end() -> None:
    stream = io.BytesIO()
    telemetry = Telemetry(clock=SystemClock(), stream=stream)
    exact = lambda: telemetry.registry.get_sample_value("tidegate_store_exact")  # noqa: E731
    assert exact() == 1
    for state in ("open", "half_open", "open"):
        telemetry.store(state)
        assert exact() == 0
    telemetry.store("half_open")
    telemetry.store("closed")
    assert exact() == 1
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["level"], line["event"]) for line in lines] == [
        ("warning", "the limit store is out, the policy's on_outage holds"),
        ("info", "the limit store counts again"),
    ]
