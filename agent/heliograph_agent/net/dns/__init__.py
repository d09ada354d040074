"""DNS lookups: the system resolver, plain UDP and TCP, DNS over TLS and over HTTPS."""
