"""The switch without which an agent visits nothing on loopback."""

from pathlib import Path

SWITCH = "net: {local_targets: allow}\n"


def allow(state: Path) -> Path:
    """Allow local targets in the agent's configuration in `state`; return `state`."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    (state / "config.yml").write_text(SWITCH)
    return state
