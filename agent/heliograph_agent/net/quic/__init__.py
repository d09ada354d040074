"""QUIC handshakes as recorded steps.

>>> result, connection = await net.quic("192.0.2.1", 443, "www.example.org")
>>> result.is_success
True
"""
