"""Real servers for loopback, fakes and clocks; see tests/README.md."""
