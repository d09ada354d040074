"""`code`: a report for the telephone, when nothing else leaves the place."""

import argparse
import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from heliograph.clock import Clock, SystemClock
from heliograph_agent import cli
from heliograph_agent.state import STATUS, Collector, State, StateError, not_joined

if TYPE_CHECKING:
    from heliograph.voice_code import Report


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    p = commands.add_parser(
        "code",
        help="print a code that says over the telephone what answers here",
        description="Print thirty digits that say who you are to the collector, what time it is, "
        "and which kinds of service answered in the last three hours. Read them to the collector's "
        "operator within three days (`heliograph-collector import code`). Nobody can make one in "
        "your name, but who listens can tell that two codes are from one agent, and what answers.",
        epilog="Example: heliograph-agent code --words",
    )
    p.add_argument("--words", action="store_true", help="eighteen English words in place of digits")
    p.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    from heliograph import voice_code

    state = cli.state_of(args)
    collector = state.collector()
    if collector is None:
        raise not_joined(state)
    report = _report(state, SystemClock())
    said = voice_code.code(report, _key(state, collector), collector.agent)
    if args.json:
        told = {"digits": voice_code.in_digits(said), "words": voice_code.in_words(said)}
        print(json.dumps({**told, "made": _made(report), "lives": dict(report.lives)}))
    else:
        print(voice_code.in_words(said) if args.words else voice_code.in_digits(said))
        _explain(report)
    return 0


def _report(state: State, clock: Clock) -> "Report":
    from heliograph.voice_code import Report
    from heliograph_agent.runtime.service_status import fresh, told_before

    now_us = clock.wall_us()
    try:
        told = told_before(state.read_json(STATUS) or {})
    except StateError:  # written in haste; the next minute's code knows more
        told = {}
    return Report(now_us // 60_000_000, fresh(told, now_us))


def _key(state: State, collector: Collector) -> bytes:
    from heliograph import keys

    try:
        return state.signer().shared_with(collector.sealing_key, keys.CODE)
    except ValueError as error:
        raise cli.CommandError(
            "The collector's key is of no use: join again with a new invite."
        ) from error


def _explain(report: "Report") -> None:
    from heliograph.voice_code import Life, summary

    print(f"\nMade {_made(report)}. It says:")
    for line in summary(report):
        print(f"  {line}")
    if set(report.lives.values()) == {Life.UNKNOWN}:
        print(
            "heliograph-agent: nothing was tested in the last three hours, so the code only says "
            "that you are there: run `heliograph-agent run --once` first.",
            file=sys.stderr,
        )


def _made(report: "Report") -> str:
    return f"{datetime.fromtimestamp(report.minute * 60, UTC):%Y-%m-%d %H:%M} UTC"
