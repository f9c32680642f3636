"""The parts of an Envoy bootstrap, as plain data: no protobuf, no I/O. `tidegate.envoy.config` puts them together.

Why a setting is there stands beside it; the tests in tests/e2e hold the real Envoy to every one of them.
"""
