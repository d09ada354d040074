"""Gives callers back what reached us, so that they can tell who changed it on the way.

Off unless configured. TCP only, connects to nobody, keeps and logs nothing about its callers.
"""

from heliograph_collector.echo.server import Echo, PortTakenError

__all__ = ["Echo", "PortTakenError"]
