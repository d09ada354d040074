"""Outages of machines and single lines in a step, beside a censor at a gate.

A line that fades loses its agents one after the other. Machines without power end at once; when it
is back they come up with another boot identifier and a clock of uptime that starts at 0.
"""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from lab.country.country import Country
from lab.country.interference import Interference
from lab.country.scenario import Place, Step
from lab.country.topology import AgentPlace

BOOT_ID = "/proc/sys/kernel/random/boot_id"
POWERLESS, FADING = "powerless", "fading"


def switch_power(country: Country, before: Mapping[Place, str], now: Mapping[Place, str]) -> None:
    """Turn off what loses its power, and on again what has it back."""
    for place, state in now.items():
        names = country.names(*place)
        was_powerless = before.get(place) == POWERLESS
        if state == POWERLESS and not was_powerless:
            country.power_cut(names)
        elif was_powerless and state != POWERLESS:
            for name in names:
                country.start_agent(name, name, _on_new_boot(country.folder / f"{name}.boot"))


def fade(country: Country, step: Step, began_s: int) -> Iterator[tuple[Place, int]]:
    """Cut fading lines evenly over the step; yield each place and its count of cuts."""
    lines = [agent for agent in country.topology.agents if step.states[_place(agent)] == FADING]
    for order, agent in enumerate(_in_turn(lines), 1):
        country.pace.sleep_until(began_s + order * step.lasts_s / (len(lines) + 1))
        cut = Interference(kind="cut", source=agent.address)
        yield _place(agent), country.gates[agent.network].apply(cut)


def _in_turn(agents: list[AgentPlace]) -> list[AgentPlace]:
    """Sort the agents so that regions lose theirs side by side."""
    return sorted(agents, key=lambda agent: agent.name.rpartition("-")[2])


def _place(agent: AgentPlace) -> Place:
    return agent.network, agent.region


def _on_new_boot(identifier: Path) -> list[str]:
    """Return the words before a command that show it a machine just booted."""
    identifier.write_text(f"{identifier.name} {time.time_ns()}\n")
    uptime_s = int(time.clock_gettime(time.CLOCK_BOOTTIME))
    bind = f'mount --bind {identifier} {BOOT_ID} && exec "$@"'
    apart = ["unshare", "--mount", "--time", f"--boottime=-{uptime_s}", "--fork"]
    return [*apart, "sh", "-c", bind, "sh"]
