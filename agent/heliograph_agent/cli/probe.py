"""`heliograph-agent probe`: one experiment, now, from here; needs no collector, stores nothing."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # argparse gives no public name to what add_subparsers() returns.
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001
import argparse
import asyncio
import io
import json
import os
import random
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from heliograph.clock import SystemClock
from heliograph.observation import Observation
from heliograph.services import Services, ServicesError, merged, shipped
from heliograph.services import load as load_services
from heliograph_agent.cli import config_of
from heliograph_agent.config import Config, ConfigError, load, with_options
from heliograph_agent.experiments.experiment import CannotRun, Experiment, Target, parse_config
from heliograph_agent.net import Net, Trace
from heliograph_agent.runtime.event_loop import run_main
from heliograph_agent.runtime.runner import attempt

if TYPE_CHECKING:
    from heliograph_agent.cli.observation_tree import Colours

FAILED, USAGE = 1, 2
DEADLINE_S = 300.0  # each step has its own; this one is for a great many of them
TICK_S = 0.2
PLAIN = str.maketrans("✓✗…→“”└├│", '+x~>""`||')
MAX_SENTENCE = 2_000
_READABLE, _LEAST = 100, 20  # columns of the sentence


class UsageError(Exception):
    """The command line cannot be meant; str() is the sentence for the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What the command line asks for, checked."""

    experiment: Experiment
    target: Target
    config: Any  # of the experiment
    settings: Config


def run_probe(args: argparse.Namespace) -> int:
    try:
        probe = prepare(args)
    except (UsageError, ConfigError, CannotRun) as error:
        return _complain(str(error), USAGE)
    except ServicesError as error:
        return _complain(str(error), FAILED)
    return perform(probe, _door(probe.settings), show_json=args.json)


def perform(probe: Probe, bind: Callable[[Trace], Net], *, show_json: bool) -> int:
    """Run it and print what was seen, also when Ctrl-C ends it early."""
    trace = Trace(SystemClock())
    try:
        reason = run_main(_observe(probe, bind, trace))
    except KeyboardInterrupt:
        reason = "Stopped before its end."
    if show_json:
        print_json(trace.observations)
    else:
        print_tree(probe, trace.observations)
    return _complain(reason, FAILED) if reason else 0


def prepare(args: argparse.Namespace) -> Probe:
    """Raises UsageError, ConfigError, CannotRun or ServicesError, each a sentence."""
    from heliograph_agent.experiments import by_name

    experiment = by_name(args.experiment)
    settings, options = _settings(args)
    return Probe(
        experiment=experiment,
        target=_target(experiment, args.target, settings),
        config=parse_config(experiment, options),
        settings=settings,
    )


def print_json(observations: Sequence[Observation]) -> None:
    """A line per observation; keys are the fields of heliograph.observation."""
    for observation in observations:
        print(json.dumps(asdict(observation)))


def print_tree(probe: Probe, observations: Sequence[Observation]) -> None:
    """Every step in its place, then what it means; as wide as the terminal is."""
    from heliograph_agent.cli.explain import sentence
    from heliograph_agent.cli.labels import printable
    from heliograph_agent.cli.observation_tree import tree

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    marks = PLAIN if _is_plain(sys.stdout.encoding or "") else {}
    columns = shutil.get_terminal_size((120, 24)).columns
    colours = colours_for(os.environ, is_tty=sys.stdout.isatty())
    name, target = probe.experiment.name, printable(probe.target.text, 200)
    print(colours.paint(f"{name} {target}".rstrip(), colours.bold))
    for line in tree(observations, columns, colours):
        print(line.translate(marks))
    service = probe.target.service
    told = sentence(name, target, observations, title=service.title if service else "")
    for line in textwrap.wrap(printable(told, MAX_SENTENCE), max(_LEAST, min(columns, _READABLE))):
        print(line.translate(marks))


def colours_for(environment: Mapping[str, str], *, is_tty: bool) -> "Colours":
    """None for a pipe, a terminal that knows none, and who asked for none (no-color.org)."""
    from heliograph_agent.cli import observation_tree

    unwanted = environment.get("NO_COLOR") or environment.get("TERM") in ("dumb", "")
    return observation_tree.ANSI if is_tty and not unwanted else observation_tree.PLAIN


def _is_plain(encoding: str) -> bool:
    """Whether a terminal would show the same ? for what worked and for what did not."""
    try:
        "".join(map(chr, PLAIN)).encode(encoding)
    except (LookupError, UnicodeEncodeError):
        return True
    return False


def _settings(args: argparse.Namespace) -> tuple[Config, Mapping[str, str]]:
    if args.config and not config_of(args).is_file():
        raise UsageError(f"There is no configuration file {args.config}.")
    options = dict(_pair(text) for text in args.option)
    dotted = {key: value for key, value in options.items() if "." in key}
    own = {key: value for key, value in options.items() if "." not in key}
    return with_options(load(config_of(args)), dotted), own


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"--option {text!r} must be KEY=VALUE.")
    return key, value


def _target(experiment: Experiment, text: str, settings: Config) -> Target:
    text = text or experiment.default_target
    if not text and experiment.wants != "none":
        raise UsageError(f"probe {experiment.name} needs a TARGET: {experiment.wants}.")
    if experiment.wants != "service" and text != experiment.default_target:
        return Target(text=text)
    services = _services(settings)
    service = services.get(text)
    if service is None:
        names = ", ".join(s.name for s in services.services)
        raise UsageError(f"There is no service {text!r}; there are: {names}.")
    return Target(text=text, service=service)


def _services(settings: Config) -> Services:
    """The shipped list, with the user's services in place of those of the same names."""
    if not settings.services_file:
        return shipped()
    return merged(shipped(), load_services(Path(settings.services_file)))


def _door(settings: Config) -> Callable[[Trace], Net]:
    from heliograph_agent.net.system_net import Door

    return Door(settings.net(), SystemClock(), random.SystemRandom()).bind


async def _observe(probe: Probe, bind: Callable[[Trace], Net], trace: Trace) -> str:
    """Why it could not run, "" when it did."""
    async with asyncio.TaskGroup() as group:
        progress = group.create_task(_show_progress(trace))
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await attempt(probe.experiment, probe.target, probe.config, bind, trace)
        except TimeoutError:
            return f"Stopped after {DEADLINE_S:.0f} s."
        finally:
            progress.cancel()


async def _show_progress(trace: Trace) -> None:
    """Steps and seconds so far, on a terminal's error stream, wiped at the end."""
    if not sys.stderr.isatty():
        return
    width = shutil.get_terminal_size().columns
    try:
        while True:
            line = f"{len(trace.observations)} steps, {trace.elapsed_us() / 1e6:.0f} s …"
            print(f"\r{line[: width - 1]}", end="", file=sys.stderr, flush=True)
            await asyncio.sleep(TICK_S)
    finally:
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def _complain(sentence: str, code: int) -> int:
    print(f"heliograph-agent: {sentence}", file=sys.stderr)
    return code


def add_parser(subparsers: "Subparsers") -> None:
    parser = subparsers.add_parser(
        "probe",
        help="run one experiment now and show every step",
        description="Runs one experiment from this machine and shows each step. Needs no "
        "collector; stores and sends nothing. See `heliograph-agent experiments` for the list.",
        epilog="Example: heliograph-agent probe web https://www.example.org/ --json",
        allow_abbrev=False,
    )
    parser.add_argument("experiment", metavar="EXPERIMENT", help="web, dns, tls, telegram …")
    parser.add_argument("target", metavar="TARGET", nargs="?", default="", help="URL, host, …")
    parser.add_argument(
        "--option",
        metavar="K=V",
        action="append",
        default=[],
        help="an option of the experiment, or a key of the configuration (net.resolver=…)",
    )
    parser.add_argument("--json", action="store_true", help="observations as JSON lines")
    _take_target_anywhere(parser)


def run(args: argparse.Namespace) -> int:
    """0 when it ran, whatever the network did; 1 when it could not; 2 on wrong usage."""

    return run(args)


def _take_target_anywhere(parser: argparse.ArgumentParser) -> None:
    """Before Python 3.13 argparse finds an optional TARGET only right behind EXPERIMENT."""
    parse = parser.parse_known_args

    def parse_known_args(args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        known, rest = parse(args, namespace)
        if not known.target and rest and not rest[0].startswith("-"):
            known.target = rest.pop(0)
        return known, rest

    parser.parse_known_args = parse_known_args  # type: ignore[method-assign, assignment]
