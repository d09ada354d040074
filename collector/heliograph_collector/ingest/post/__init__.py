"""The door for one envelope a connection: TLS 1.3, one POST, one receipt."""

from heliograph_collector.ingest.post.server import AT_ONCE, PortTakenError, serving

__all__ = ["AT_ONCE", "PortTakenError", "serving"]
