"""Look up names by the system resolver, UDP, TCP, DNS over TLS or over HTTPS."""
