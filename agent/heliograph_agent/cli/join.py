"""`join`: enrol with a collector, know what will be run, agree to it."""

import argparse
import asyncio
import random
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from heliograph_agent import cli
from heliograph_agent.state import COLLECTOR, CONSENT, PLAN, Collector, State, StateError

if TYPE_CHECKING:
    from heliograph_agent.consent import Consent
    from heliograph_agent.uplink.invite import Invite
    from heliograph_agent.uplink.ways import Ways


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    p = commands.add_parser(
        "join",
        help="enrol with a collector, by the invite you were sent",
        description="Enrol this machine with a collector, and agree to what it will run.",
        epilog="Example: heliograph-agent join heliograph1:… --country KZ --access mobile",
    )
    p.add_argument("invite", metavar="INVITE", help="the line that begins with heliograph1:")
    p.add_argument(
        "--yes",
        action="store_true",
        help="agree without being asked, also to whatever this collector's plan holds later",
    )
    p.add_argument(
        "--country",
        type=_code("country_code"),
        default=None,
        metavar="CC",
        help="where this machine stands, ISO 3166-1; else told from your address",
    )
    p.add_argument(
        "--region",
        type=_code("region_code"),
        default=None,
        metavar="CODE",
        help="the part of the country, ISO 3166-2, such as KZ-75",
    )
    p.add_argument(
        "--access",
        choices=("mobile", "fixed", "hosting"),
        default="unknown",
        help="how this machine reaches its provider",
    )


def run(args: argparse.Namespace) -> int:
    from heliograph.clock import SystemClock
    from heliograph_agent.config import load
    from heliograph_agent.uplink.invite import InviteError, parse_invite

    try:
        invite = parse_invite(args.invite)
    except InviteError as error:
        raise cli.CommandError(str(error)) from error
    state = cli.state_of(args)
    state.prepare()
    with state.locked():
        collector = _present(state)
        if collector is None:
            ways = load(cli.config_of(args)).ways(SystemClock(), random.SystemRandom())
            collector = asyncio.run(_enrol(invite, state, ways))
        elif (collector.endpoint, collector.pin) != (invite.endpoint, invite.pin):
            raise cli.CommandError(
                f"{state.root} belongs to the collector at {collector.endpoint}: choose another "
                "--state for this invite, or run `heliograph-agent leave` first."
            )
        return _agree(args, state, collector)


def _present(state: State) -> Collector | None:
    """Whom this state serves; None also when what is written of it is damaged: joining mends it.

    Raises StateError when it cannot even be read, before an invite is used up.
    """
    state.read(COLLECTOR)
    with suppress(StateError):
        return state.collector()
    return None


async def _enrol(invite: "Invite", state: State, ways: "Ways") -> Collector:
    from heliograph import keys
    from heliograph_agent.uplink.door import DoorError
    from heliograph_agent.uplink.enrol import enrol
    from heliograph_agent.uplink.signed import PlanError, open_plan

    signer = keys.SigningKey(state.private_key(make=True) or b"")
    try:
        collector, plan = await enrol(invite, ways, signer)
        open_plan(plan, collector.signing_key)
    except DoorError as error:
        raise cli.CommandError(_sentence(error.reason, invite.endpoint)) from error
    except PlanError as error:
        raise cli.CommandError(
            f"The plan that {invite.endpoint} sent is refused: {error}. Nothing was started; "
            "tell the collector's operator."
        ) from error
    state.write(PLAN, plan.SerializeToString())
    state.save_collector(collector)
    return collector


def _agree(args: argparse.Namespace, state: State, collector: Collector) -> int:
    from heliograph.clock import SystemClock
    from heliograph.observation import Access
    from heliograph_agent import consent as c
    from heliograph_agent.cli.plan import stored_plan

    plan = stored_plan(state)
    before = c.read_consent(state.read_json(CONSENT))
    scope = frozenset({c.EVERYTHING}) if args.yes else c.scope_of(plan)
    asked = c.Consent(
        given_us=SystemClock().wall_us(),
        plan_version=plan.version,
        scope=scope,
        country=args.country or "",
        region=args.region or "",
        access=Access(args.access),
    )
    if before is not None and not c.narrow(plan, before)[1]:
        return _again(state, collector, before, asked)
    print(c.terms(plan, collector.endpoint))
    if not args.yes and not _yes():
        print(
            "Nothing will run. To agree later, run the same command again; the invite stays good.",
            file=sys.stderr,
        )
        return 1
    state.write_json(CONSENT, asked.to_json())
    print("Joined. Start measuring with `heliograph-agent run`.")
    return 0


def _again(state: State, collector: Collector, before: "Consent", asked: "Consent") -> int:
    """The second join on the same state: only what is declared can change."""
    told = {
        name: getattr(asked, name)
        for name in ("country", "region", "access")
        if getattr(asked, name) not in ("", "unknown")
    }
    if told:
        state.write_json(CONSENT, replace(before, **told).to_json())
    print(
        f"This agent has already joined {collector.endpoint}; "
        + ("what you declared was noted." if told else "nothing was changed.")
    )
    return 0


def _yes() -> bool:
    print('\nType "yes" to agree: ', end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("yes", "y")


def _sentence(reason: str, endpoint: str) -> str:
    return {
        "unreachable": f"The collector at {endpoint} cannot be reached: check this machine's "
        "connection, then ask the operator whether the collector runs, and try again.",
        "pin_mismatch": f"Whoever answers at {endpoint} does not hold the key that the invite "
        "names: somebody may be intercepting the connection. Nothing was sent. Ask the operator, "
        "by another way, for a new invite.",
        "bad_invite": "The invite was used already, has expired or was withdrawn: ask the "
        "collector's operator for a new one.",
    }.get(
        reason,
        f"The collector at {endpoint} answered, and did not complete the enrolment ({reason}): "
        "try again in a minute.",
    )


def _code(name: str) -> Callable[[str], str]:
    """Checks by config.py, which is loaded only when the option is given."""

    def check(text: str) -> str:
        from heliograph_agent import config

        try:
            value: str = getattr(config, name)(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not allowed; use an ISO 3166 code like KZ or KZ-75"
            ) from error
        return value

    return check
