"""The runnable demo: a real model app that leaks, the gate before it, and a client that checks every promise."""
