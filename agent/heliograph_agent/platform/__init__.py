"""Do what differs between operating systems; what a system does not say is None.

>>> from heliograph_agent.platform.power import is_on_battery
>>> is_on_battery()
False
"""
