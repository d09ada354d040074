"""What the agent can say besides DNS, TLS and HTTP: one pure module per protocol."""
