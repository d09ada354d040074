"""TLS handshakes as recorded steps, trust stores and certificates."""
