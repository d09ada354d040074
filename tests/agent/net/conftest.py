"""A certificate authority for the session, and a net on loopback per test."""

from support.net_fixtures import ca, opening

__all__ = ["ca", "opening"]
