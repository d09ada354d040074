"""Let this system start the agent: choose the manager and the command."""

import sys
from pathlib import Path

from heliograph_agent.platform.service_manager import ServiceError, ServiceManager, find_manager
from heliograph_agent.state import State

__all__ = ["ServiceError", "find_service", "make_command"]


def find_service(state: State) -> ServiceManager:
    """Find the manager that starts the agent of this directory. Raises ServiceError."""
    return find_manager(state.root, Path.home())


def make_command(state: State, program: Path) -> tuple[str, ...]:
    """Make the command that runs the agent on this directory from any other.

    `program` is how this process was started: a single-file build is started the same way, because
    Python's -m would not find it again.
    """
    is_single_file = program.suffix == ".pex"
    started = (str(program.resolve()),) if is_single_file else ("-m", "heliograph_agent")
    return (sys.executable, *started, "run", "--state", str(state.root.resolve()))
