"""Servers for tests and the demo that speak the protocols of the services outside."""
