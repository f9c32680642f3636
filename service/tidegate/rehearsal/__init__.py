"""Decisions without traffic: why one request would be decided as it would, and cases that say how it should be."""
