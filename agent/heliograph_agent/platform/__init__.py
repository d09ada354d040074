"""Do tasks that differ between systems; facts that a system lacks are None.

>>> from heliograph_agent.platform.power import is_on_battery
>>> is_on_battery()
False
"""
