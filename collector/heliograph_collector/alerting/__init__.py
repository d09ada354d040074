"""Notifications: compose alerts for each receiver, deliver and retry them.

Example: queue an alert, and deliver it once it is due.

    await dispatcher.queue_alerts(alerts, entry=entry.number, head=entry.hash)
    await dispatcher.deliver_next(receiver)
"""
