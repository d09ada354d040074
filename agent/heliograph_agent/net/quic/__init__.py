"""QUIC handshakes as recorded steps."""
