"""Decide whether an agent spares its machine's battery."""

from heliograph_agent.config import Config
from heliograph_agent.platform.power import is_battery_low


def is_sparing(config: Config) -> bool:
    """Return whether the battery is so low that only anchors are measured."""
    return is_battery_low(config.battery_percent)
