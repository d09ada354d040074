"""Ingest: entrances for agents, enrollment, sessions, envelopes and presence.

Example:
    async with run_ingest(config) as ingest:
        receipt = await ingest.receiver.accept(envelope, "192.0.2.1")
        print(ingest.port, ingest.connections.count_by_role())
"""
