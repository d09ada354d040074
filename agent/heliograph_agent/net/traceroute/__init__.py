"""Path measurements: hops by TTL, in process and through the raw-socket helper program."""
