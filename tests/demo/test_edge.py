"""Moving Envoy's configuration to other addresses changes addresses and nothing else."""

import pytest
import yaml
from tidegate.demo.edge import readdress

ONE = ("a", 1)
TWO = ("b", 2)


def document(*places: tuple[str, int]) -> str:
    endpoints = [{"endpoint": {"address": _socket(*place)}} for place in places]
    return yaml.safe_dump({"keep": [1, {"x": None}], "admin": {"address": _socket("c", 3)}, "lb_endpoints": endpoints})


def _socket(host: str, port: int) -> dict:
    return {"socket_address": {"address": host, "port_value": port}}


def test_addresses_move_and_the_rest_stays():
    moved = {ONE: ("127.0.0.1", 11), TWO: ("127.0.0.1", 12), ("c", 3): ("127.0.0.1", 13)}
    result = yaml.safe_load(readdress(document(ONE, TWO), moved))
    assert result["keep"] == [1, {"x": None}]
    assert result["admin"] == {"address": _socket("127.0.0.1", 13)}
    assert [e["endpoint"]["address"] for e in result["lb_endpoints"]] == [
        _socket("127.0.0.1", 11),
        _socket("127.0.0.1", 12),
    ]


def test_an_upstream_can_be_left_out():
    moved = {ONE: ("127.0.0.1", 11), TWO: None, ("c", 3): ("127.0.0.1", 13)}
    result = yaml.safe_load(readdress(document(ONE, TWO), moved))
    assert len(result["lb_endpoints"]) == 1


def test_an_address_that_nobody_moved_is_an_error():
    with pytest.raises(KeyError, match="'b', 2"):
        readdress(document(ONE, TWO), {ONE: ONE, ("c", 3): ONE})


def test_a_listener_cannot_be_left_out():
    with pytest.raises(ValueError, match="cannot be removed"):
        readdress(document(ONE), {ONE: ONE, ("c", 3): None})
