"""Define an experiment: its entry in the shared registry and one async function."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

from heliograph.experiments import ExperimentEntry
from heliograph.experiments.options import OptionError, parse_options
from heliograph.plan import Service
from heliograph_agent.net import Net


class CannotRun(Exception):  # noqa: N818 - it is no error of anyone, and the word of the design
    """Nothing could be asked of the network; the text is a sentence that says why and the cure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is tested: a URL, a host, an endpoint, or a service with its endpoints."""

    value: str
    service: Service | None = None


Run: TypeAlias = Callable[[Target, Any, Net], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment(ExperimentEntry):
    """An entry of the shared registry together with the function that runs it."""

    run: Run


def with_function(entry: ExperimentEntry, run: Run) -> Experiment:
    """Make an entry one that can be run."""
    return Experiment(run=run, **{f.name: getattr(entry, f.name) for f in fields(entry)})


def parse_config(experiment: Experiment, options: Mapping[str, str]) -> Any:
    """Build the experiment's config with `options` set in it. Raises CannotRun."""
    try:
        return parse_options(experiment, options)
    except OptionError as error:
        raise CannotRun(str(error)) from error


def require_service(target: Target) -> Service:
    """The service that a test of endpoints is about. Raises CannotRun when there is none."""
    if target.service is None:
        raise CannotRun(f"{target.value!r} is no service that the list of services knows.")
    return target.service
