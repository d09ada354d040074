"""Define an experiment: its entry in the shared registry and one async function."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

from heliograph.experiments import ExperimentEntry
from heliograph.experiments.options import OptionError, parse_options
from heliograph.plan import Service
from heliograph_agent.net import Net


class CannotRun(Exception):  # noqa: N818 - a state of the agent, and the design's name
    """Report that nothing was sent; str() is a sentence with the reason and the fix."""


class BadTarget(CannotRun):
    """The target, or an option beside it, is none that the experiment can visit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Name a target: a URL, a host, an endpoint, or a service with endpoints."""

    value: str
    service: Service | None = None


Run: TypeAlias = Callable[[Target, Any, Net], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment(ExperimentEntry):
    """Join an entry of the shared registry with the function that runs it."""

    run: Run


def with_function(entry: ExperimentEntry, run: Run) -> Experiment:
    """Make a registry entry runnable."""
    return Experiment(run=run, **{f.name: getattr(entry, f.name) for f in fields(entry)})


def parse_config(experiment: Experiment, options: Mapping[str, str]) -> Any:
    """Build the experiment's config from `options`. Raises CannotRun."""
    try:
        return parse_options(experiment, options)
    except OptionError as error:
        raise CannotRun(str(error)) from error


def require_service(target: Target) -> Service:
    """Return the service of a target. Raises CannotRun when it has none."""
    if target.service is None:
        raise BadTarget(f"{target.value!r} is no service that the list of services knows.")
    return target.service
