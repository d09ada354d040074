"""Observations of single steps, as short as a test wants them."""

from dataclasses import replace
from typing import Any

from heliograph.failure import Failure, Operation
from heliograph.observation import Observation


def make_step(
    operation: Operation = Operation.CONNECT,
    failure: Failure | None = None,
    endpoint: str = "",
    **facts: Any,
) -> Observation:
    return Observation(
        operation=operation,
        started_us=0,
        duration_us=1,
        failure=failure,
        endpoint=endpoint,
        **facts,
    )


def make_chain(*steps: Observation) -> list[Observation]:
    """Return the steps, each based on the one before."""
    return [replace(step, parent=index - 1 if index else None) for index, step in enumerate(steps)]


def join_chains(*chains: list[Observation]) -> list[Observation]:
    """Join several chains of steps into one measurement."""
    joined: list[Observation] = []
    for chain in chains:
        base = len(joined)
        joined += [
            replace(step, parent=None if step.parent is None else step.parent + base)
            for step in chain
        ]
    return joined
