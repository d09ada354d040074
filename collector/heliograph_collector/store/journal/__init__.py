"""The journal: the durable, ordered log of opened envelopes, where receipts are earned."""
