"""Capacity of an endpoint over all replicas, and the bounded fair queue in front of it."""
