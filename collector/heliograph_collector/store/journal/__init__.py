"""Journal: durable, ordered log of opened envelopes; a commit permits the receipt."""
