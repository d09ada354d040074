"""`code`: print a report for the telephone, when no data can leave the network."""

import argparse
import json
from typing import TYPE_CHECKING

from heliograph.clock import Clock, SystemClock
from heliograph.translation import direct_line, keep_order, mark
from heliograph.translation import translate as _
from heliograph.units import MINUTE_US
from heliograph_agent import cli
from heliograph_agent.state import Collector, State

if TYPE_CHECKING:
    from heliograph.voice_code import StatusReport

# By the words of heliograph.voice_code, which has them in English for the collector.
STATES = {
    "answers": mark("answers: {names}"),
    "fails": mark("does not answer: {names}"),
    "unknown": mark("not known: {names}"),
}
CLASS_TITLES = {
    "domestic": mark("hosts at home"),
    "foreign": mark("hosts abroad"),
    "dns": mark("names"),
}


def add_parser(commands: "cli.Subparsers") -> None:
    p = commands.add_parser(
        "code",
        help="print a code to read out over the telephone: which services answer here",
        description="Print thirty digits that say who you are to the collector, what time it is, "
        "and which kinds of service answered in the last three hours. Read them to the collector's "
        "operator within three days (`heliograph-collector import code`). Nobody else can make "
        "your code, but a listener can tell that two codes are from one agent, and what answers.",
        epilog="Example: heliograph-agent code --words",
    )
    p.add_argument("--words", action="store_true", help="eighteen English words instead of digits")
    p.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    from heliograph import voice_code

    state = cli.get_state(args)
    collector = state.joined_collector()
    report = _make_report(state, SystemClock())
    code = voice_code.make_code(report, _derive_key(state, collector), collector.agent)
    digits = voice_code.format_digits(code)
    code_words = voice_code.format_words(code)
    if args.json:
        output = {"digits": digits, "words": code_words, "made": report.made_at}
        print(json.dumps({**output, "lives": dict(report.states)}))
    else:
        print(code_words if args.words else digits)
        _print_explanation(report)
    return 0


def _make_report(state: State, clock: Clock) -> "StatusReport":
    from heliograph.voice_code import StatusReport
    from heliograph_agent.runtime.service_status import recent_states, restore_service_states
    from heliograph_agent.runtime.status_file import read_status

    now_us = clock.wall_us()
    states = restore_service_states(read_status(state).get("lives"))
    return StatusReport(now_us // MINUTE_US, recent_states(states, now_us))


def _derive_key(state: State, collector: Collector) -> bytes:
    from heliograph import keys

    try:
        return state.signer().derive_shared_key(collector.sealing_key, keys.CODE)
    except ValueError as error:
        raise cli.AgentCommandError(
            _("The collector's key is of no use: join again with a new invite.")
        ) from error


def _print_explanation(report: "StatusReport") -> None:
    from heliograph.voice_code import CLASSES, TITLES, ServiceState

    minute = keep_order(report.made_at)
    print("\n" + _("Made {time}. It says:").format(time=minute))
    for state in ServiceState:
        named = [name for name in CLASSES if report.states[name] is state]
        names = [_(CLASS_TITLES.get(name, TITLES[name])) for name in named]
        if names:
            sentence = _(STATES[state.value]).format(names=_(", ").join(names))
            print(direct_line(f"  {sentence}"))
    if set(report.states.values()) == {ServiceState.UNKNOWN}:
        cli.print_note(
            _(
                "nothing was tested in the last three hours, so the code only says that you are "
                "there: run `heliograph-agent run --once` first."
            )
        )
