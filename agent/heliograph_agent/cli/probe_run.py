"""Run one experiment and show its steps: the work of `heliograph-agent probe`."""

import argparse
import asyncio
import io
import json
import os
import random
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from heliograph.clock import SystemClock
from heliograph.error_group import flatten_errors
from heliograph.observation import Observation
from heliograph.services import load_services, load_shipped_services, merge_services
from heliograph.translation import ENGLISH, begin_line, use_language
from heliograph.translation import translate as _
from heliograph.yaml_document import YamlError
from heliograph_agent import cli
from heliograph_agent.cli.circumvention import describe_tools
from heliograph_agent.cli.labels import make_printable
from heliograph_agent.cli.observation_tree import ANSI, Colors, format_tree
from heliograph_agent.cli.results import describe_service
from heliograph_agent.config import AgentConfigError, Config, with_options
from heliograph_agent.consent import make_printable as keep_printable
from heliograph_agent.experiments.experiment import (
    BadTarget,
    CannotRun,
    Experiment,
    Target,
    parse_config,
)
from heliograph_agent.net import Net, StepTrace
from heliograph_agent.runtime.status_file import AgentStatus, read_status

FAILED = 1
USAGE = 2
DEADLINE_S = 300.0  # each step has its own deadline; this one is for very many steps
PROGRESS_S = 0.2  # assumed: between two lines
PLAIN = str.maketrans("✓✗…→“”└├│", '+x~>""`||')
MAX_SENTENCE = 2_000
# columns of the explanation
_READABLE = 100
_LEAST = 20


class UsageError(Exception):
    """Report an invalid command line; str() is a sentence for the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRequest:
    """Hold the checked request of the command line."""

    experiment: Experiment
    target: Target
    config: Any  # of the experiment
    settings: Config
    status: AgentStatus = field(default_factory=AgentStatus)  # of the agent here, if it joined

    @property
    def service_name(self) -> str:
        """Return the collector's name of the target."""
        return self.target.service.name if self.target.service else self.target.value


def run_probe(args: argparse.Namespace) -> int:
    try:
        probe = prepare_probe(args)
    except (UsageError, AgentConfigError, CannotRun, YamlError) as error:
        cli.print_note(str(error))
        return FAILED if isinstance(error, YamlError) else USAGE
    from heliograph_agent.net.system_net import SystemNetFactory

    services = [probe.target.service] if probe.target.service else []
    net_config = probe.settings.net_config(services)
    net_factory = SystemNetFactory(net_config, SystemClock(), random.SystemRandom())
    return perform_probe(probe, net_factory.bind, show_json=args.json)


def perform_probe(probe: ProbeRequest, bind: Callable[[StepTrace], Net], *, show_json: bool) -> int:
    """Run the probe and print its observations, also when Ctrl-C ends it early.

    JSON is read by programs, so it is in English.
    """
    from heliograph_agent.runtime.event_loop import run_main

    if show_json:
        use_language(ENGLISH, cli.LOCALE)
    clock = SystemClock()
    trace = StepTrace(clock)
    started_us = clock.wall_us()
    watched = _WatchedExperiment(probe.experiment)
    try:
        reason = run_main(_run_with_progress(watched, probe, bind, trace))
    except KeyboardInterrupt:
        reason = _("Stopped before its end.")
    conclusion = reason or explain_probe(probe, trace.observations)
    if show_json:
        print_json(probe, trace.observations, conclusion, started_us)
    elif not watched.has_bad_target:
        print_tree(probe, trace.observations)
    if reason:
        cli.print_note(reason)
    return (USAGE if watched.has_bad_target else FAILED) if reason else 0


@dataclass(slots=True)
class _WatchedExperiment:
    """Run an experiment, and note whether a bad target prevented it."""

    experiment: Experiment
    has_bad_target: bool = False

    async def run(self, target: Target, config: Any, net: Net) -> None:
        try:
            await self.experiment.run(target, config, net)
        except Exception as error:
            leaves = flatten_errors(error)
            self.has_bad_target = all(isinstance(leaf, BadTarget) for leaf in leaves)
            raise


def explain_probe(probe: ProbeRequest, observations: Sequence[Observation]) -> str:
    """Return the explanation in one sentence or a few."""
    from heliograph_agent.cli.explain import explain_measurement

    title = probe.target.service.title if probe.target.service else ""
    target = make_printable(probe.target.value, 200)
    explanation = explain_measurement(probe.experiment.name, target, observations, title=title)
    return keep_printable(explanation)[:MAX_SENTENCE]


def prepare_probe(args: argparse.Namespace) -> ProbeRequest:
    """Check the command line.

    Raises UsageError, AgentConfigError, CannotRun or YamlError, each with a sentence.
    """
    from heliograph_agent.experiments import find_experiment

    experiment = find_experiment(args.experiment)
    settings, options = _read_settings(args)
    return ProbeRequest(
        experiment=experiment,
        target=_make_target(experiment, args.target, settings),
        config=parse_config(experiment, options),
        settings=settings,
        status=read_status(cli.get_state(args)),
    )


def print_json(
    probe: ProbeRequest, observations: Sequence[Observation], conclusion: str, started_us: int
) -> None:
    """Print a summary line, then one for each observation with its fields.

    The fields are those of heliograph.observation.
    """
    summary = {
        "experiment": probe.experiment.name,
        "target": probe.target.value,
        "started_us": started_us,
        "conclusion": conclusion,
        "published": find_published(probe),
    }
    print(json.dumps(summary))
    for observation in observations:
        print(json.dumps(asdict(observation)))


def print_tree(probe: ProbeRequest, observations: Sequence[Observation]) -> None:
    """Print the explanation, then every step, in the terminal's width."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    marks = PLAIN if _is_plain(sys.stdout.encoding or "") else {}
    columns = shutil.get_terminal_size((120, 24)).columns
    colors = select_colors(os.environ, is_tty=sys.stdout.isatty())
    name = probe.experiment.name
    target = make_printable(probe.target.value, 200)
    print(colors.paint(f"{name} {target}".rstrip(), colors.bold))
    width = max(_LEAST, min(columns, _READABLE))
    for line in textwrap.wrap(explain_probe(probe, observations), width):
        print(begin_line() + line.translate(marks))
    for line in format_tree(observations, columns, colors):
        print(line.translate(marks))
    now_us = SystemClock().wall_us()
    tools = describe_tools(probe.status, now_us, probe.service_name)
    for line in (*describe_service(probe.status, probe.service_name), *tools):
        print(line.translate(marks))


def find_published(probe: ProbeRequest) -> Mapping[str, object] | None:
    """Find the collector's finding on the target in this network, None without one."""
    findings = probe.status.get("findings")
    if not findings or probe.service_name not in findings["services"]:
        return None
    return {
        "at_us": findings["at_us"],
        "country": findings["country"],
        "asn": findings["asn"],
        **findings["services"][probe.service_name],
    }


def select_colors(environment: Mapping[str, str], *, is_tty: bool) -> Colors:
    """Select ANSI colors for a terminal, else none.

    A terminal without colors and the variable NO_COLOR (no-color.org) select none.
    """
    unwanted = environment.get("NO_COLOR") or environment.get("TERM") in ("dumb", "")
    return ANSI if is_tty and not unwanted else Colors()


def _is_plain(encoding: str) -> bool:
    """Tell whether the encoding lacks the marks and would show all of them as ?."""
    try:
        "".join(map(chr, PLAIN)).encode(encoding)
    except (LookupError, UnicodeEncodeError):
        return True
    return False


def _read_settings(args: argparse.Namespace) -> tuple[Config, Mapping[str, str]]:
    if args.config and not cli.get_config_path(args).is_file():
        raise UsageError(_("There is no configuration file {file}.").format(file=args.config))
    options: dict[str, str] = {}
    for option in args.option:
        key, equals, value = option.partition("=")
        if not equals or not key:
            raise UsageError(_("--option {option} must be KEY=VALUE.").format(option=repr(option)))
        options[key] = value
    dotted = {key: value for key, value in options.items() if "." in key}
    experiment_options = {key: value for key, value in options.items() if "." not in key}
    return with_options(cli.read_config(args), dotted), experiment_options


def _make_target(experiment: Experiment, target_text: str, settings: Config) -> Target:
    target_text = target_text or experiment.default_target
    if not target_text and experiment.target_kind != "none":
        raise UsageError(
            _("probe {name} needs a TARGET: {kind}.").format(
                name=experiment.name, kind=experiment.target_kind
            )
        )
    if experiment.target_kind != "service" and target_text != experiment.default_target:
        return Target(value=target_text)
    services = load_shipped_services()
    if settings.services_file:  # its services replace those of the same name
        services = merge_services(services, load_services(Path(settings.services_file)))
    service = services.get(target_text)
    if service is None:
        names = ", ".join(s.name for s in services.services)
        raise UsageError(
            _("There is no service {name}; there are: {names}.").format(
                name=repr(target_text), names=names
            )
        )
    return Target(value=target_text, service=service)


async def _run_with_progress(
    watched: _WatchedExperiment,
    probe: ProbeRequest,
    bind: Callable[[StepTrace], Net],
    trace: StepTrace,
) -> str:
    """Run the experiment; return why it could not run, "" when it did."""
    from heliograph_agent.runtime.runner import run_attempt

    async with asyncio.TaskGroup() as group:
        progress = group.create_task(_show_progress(trace))
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await run_attempt(watched, probe.target, probe.config, bind, trace)
        except TimeoutError:
            return _("Stopped after {n} s.").format(n=f"{DEADLINE_S:.0f}")
        finally:
            progress.cancel()


async def _show_progress(trace: StepTrace) -> None:
    """Show steps and seconds on a terminal's stderr, and erase them at the end."""
    if not sys.stderr.isatty():
        return
    width = shutil.get_terminal_size().columns
    try:
        while True:
            line = begin_line() + _("{n} steps, {seconds} s …").format(
                n=len(trace.observations), seconds=f"{trace.elapsed_us() / 1e6:.0f}"
            )
            print(f"\r{line[: width - 1]}", end="", file=sys.stderr, flush=True)
            await asyncio.sleep(PROGRESS_S)
    finally:
        print("\r\033[K", end="", file=sys.stderr, flush=True)
