"""`heliograph-collector import code`: what an agent's owner read out over the telephone."""

import argparse
import asyncio
import json
from contextlib import closing, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from heliograph_collector.cli import CommandError, add_places, config_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from heliograph.clock import Clock
    from heliograph.keys import SealingKey
    from heliograph.spoken import Heard, Report
    from heliograph_collector.config import Config
    from heliograph_collector.fleet import Agent, Codes, Fleet

EXAMPLE = "Example: heliograph-collector import code 72359 00003 47829 91468 50158 97012"
HOUR_S = 3_600
TRIES = 20  # an hour that may prove nothing, of all callers together
PATIENCE_S = 15.0  # for a running `serve` to take it over; it looks every second
LOOK_S = 0.25


def add_parser(kinds: "argparse._SubParsersAction[Any]") -> None:
    command = kinds.add_parser(
        "code",
        help="a code that `heliograph-agent code` printed",
        description="Takes in a code that was read out over the telephone, in digits or words, "
        "once, whether `serve` runs or not, and says what it said. It is kept as a report: it has "
        "no vote on what is blocked.",
        epilog=EXAMPLE + " | Exit code: 0 taken in, 1 refused, 2 wrong usage.",
        allow_abbrev=False,
    )
    command.add_argument("code", metavar="CODE", nargs="+", help="its groups, with or without gaps")
    command.add_argument("--json", action="store_true", help="one JSON object")
    add_places(command)


def run(args: argparse.Namespace) -> int:
    from heliograph.clock import SystemClock
    from heliograph.spoken import MisheardError, hear
    from heliograph_collector.fleet import Fleet, open_keyring
    from heliograph_collector.fleet.keyring import earlier

    try:
        heard = hear(" ".join(args.code))
    except MisheardError as error:
        raise CommandError(f"the code {error}.") from error
    config, clock = config_of(args), SystemClock()
    sealers = [open_keyring(config.data, []).sealing, *(s for s, _ in earlier(config.data))]
    with closing(Fleet(config.data)) as fleet:
        agent, report = _proven(heard, fleet, sealers, clock)
        _keep(report, agent, fleet, clock)
        delivered = asyncio.run(_deliver(config, fleet))
    _tell(args, agent, report, delivered=delivered)
    return 0


def _proven(
    heard: "Heard", fleet: "Fleet", sealers: "Sequence[SealingKey]", clock: "Clock"
) -> "tuple[Agent, Report]":
    """Whose it is and what it says. Raises CommandError; a proof that fails is counted."""
    from heliograph import spoken
    from heliograph_collector.fleet import Codes, agent_keys

    codes, now_s = Codes(fleet), clock.wall_us() // 1_000_000
    if codes.unproven(now_s - HOUR_S) >= TRIES:
        raise CommandError(
            f"{TRIES} codes of the last hour proved nothing, so somebody may be guessing: "
            "try again in an hour."
        )
    others = agent_keys.others(fleet)
    for agent in fleet.agents():
        if spoken.number_of(agent.id) == heard.who:
            public_keys = (agent.public_key, *others.get(agent.id, ()))
            report = _report(heard, sealers, public_keys, agent.id, now_s // 60)
            if report is not None:
                _in_time(report, agent, now_s // 60)
                return agent, report
    codes.proved_nothing(now_s)
    raise CommandError(
        "the code adds up, but no agent of this collector made it in the last week: ask whether "
        "it was made for this collector, whether that machine's clock is right, and for a new one."
    )


def _report(
    heard: "Heard",
    sealers: "Sequence[SealingKey]",
    public_keys: "Sequence[bytes]",
    agent: bytes,
    now_min: int,
) -> "Report | None":
    """By any key that the agent has or had, and any of ours: who is in the dark knows old ones."""
    from heliograph import keys

    for sealer in sealers:
        for public_key in public_keys:
            with suppress(ValueError):  # no point of the curve: such an agent can prove nothing
                key = sealer.shared_with(public_key, keys.CODE)
                report = heard.report(key, agent, now_min)
                if report is not None:
                    return report
    return None


def _in_time(report: "Report", agent: "Agent", now_min: int) -> None:
    from heliograph.spoken import PAST_MIN

    if agent.revoked_s is not None:
        raise CommandError(f"the code is of agent {agent.id.hex()}, which is revoked.")
    if now_min - report.minute > PAST_MIN:
        raise CommandError(
            f"the code was made {_made(report)}, more than three days ago: ask for a new one."
        )


def _keep(report: "Report", agent: "Agent", fleet: "Fleet", clock: "Clock") -> None:
    from heliograph_collector.fleet import Codes
    from heliograph_collector.intake.by_voice import word_of

    if not Codes(fleet).keep(word_of(report, agent, clock.wall_us())):
        raise CommandError(
            f"a code of agent {agent.id.hex()} made {_made(report)} was taken in before, and "
            "counts once: nothing has changed."
        )


async def _deliver(config: "Config", fleet: "Fleet") -> bool:
    """Into the journal, or by whoever holds it; whether it is there. Raises CommandError."""
    from heliograph_collector.fleet import Codes
    from heliograph_collector.intake.by_voice import hand_over
    from heliograph_collector.store.journal import DirectoryInUseError, Journal, JournalError

    codes = Codes(fleet)
    try:
        journal = Journal(config.data / "journal.db")
    except DirectoryInUseError:
        return await _taken_over(codes)
    except JournalError as error:
        raise CommandError(str(error)) from error
    try:
        await hand_over(codes, _finder(fleet), journal)
    except JournalError as error:
        raise CommandError(f"{error} The code is kept until then.") from error
    finally:
        await journal.close()
    return True


def _finder(fleet: "Fleet") -> "Callable[[bytes], Agent | None]":
    return {agent.id: agent for agent in fleet.agents()}.get


async def _taken_over(codes: "Codes") -> bool:
    for _ in range(int(PATIENCE_S / LOOK_S)):
        if not codes.pending():
            return True
        await asyncio.sleep(LOOK_S)
    return False


def _tell(args: argparse.Namespace, agent: "Agent", report: "Report", *, delivered: bool) -> None:
    from heliograph.spoken import summary

    if args.json:
        made = {"agent": agent.id.hex(), "made": _made(report), "delivered": delivered}
        print(json.dumps({**made, "lives": dict(report.lives)}))
        return
    print(f"Agent {agent.id.hex()}, {_made(report)}, by voice:")
    for line in summary(report):
        print(f"  {line}")
    if not delivered:
        print("Kept; the running collector has not taken it over yet, and will.")


def _made(report: "Report") -> str:
    return f"{datetime.fromtimestamp(report.minute * 60, UTC):%Y-%m-%d %H:%M} UTC"
