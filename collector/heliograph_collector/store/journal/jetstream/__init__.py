"""The journal on NATS JetStream, for collectors that outgrow one disk.

Example:
    async with open_jetstream(settings, data) as journal:
        (position,) = await journal.append([row])  # after the servers' quorum has it
"""
