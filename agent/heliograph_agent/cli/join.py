"""`join`: enroll with a collector, show its terms and ask for agreement."""

import argparse
import asyncio
import random
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from heliograph.clock import SystemClock
from heliograph.translation import mark
from heliograph.translation import translate as _
from heliograph_agent import cli
from heliograph_agent.cli.questions import ask_agreement, ask_country, ask_network
from heliograph_agent.state import (
    COLLECTOR,
    CONSENT,
    JOINING,
    KEY,
    NEXT_KEY,
    OWN_KEY,
    PLAN,
    Collector,
    State,
    StateError,
)

if TYPE_CHECKING:
    from heliograph.keys import SigningKey
    from heliograph_agent.consent import Consent
    from heliograph_agent.enrolment import EnrolmentResult
    from heliograph_agent.uplink.invite import Invite

REASONS = {
    "unreachable": mark(
        "The collector at {endpoint} cannot be reached: check this machine's connection, then ask "
        "the operator whether the collector runs, and try again."
    ),
    "pin_mismatch": mark(
        "The host that answers at {endpoint} does not hold the key that the invite names: somebody "
        "may be intercepting the connection. Nothing was sent. Ask the operator, by another way, "
        "for a new invite."
    ),
    "charter": mark(
        "The host that answers at {endpoint} does not go by the charter that the invite names. "
        "Nothing was started. Ask the operator, by another way, for a new invite."
    ),
    "bad_invite": mark(
        "The invite was used already, has expired or was withdrawn: ask the collector's operator "
        "for a new one."
    ),
}


def add_parser(commands: "cli.Subparsers") -> None:
    p = commands.add_parser(
        "join",
        help="enroll with a collector, using the invite you were sent",
        description="Enroll this machine with a collector, and agree to what it will run.",
        epilog="Example: heliograph-agent join heliograph1:… --country KZ --access mobile",
    )
    p.add_argument(
        "invite", metavar="INVITE", nargs="?", help="the line that begins with heliograph1:"
    )
    p.add_argument(
        "--request",
        metavar="FILE",
        type=Path,
        help="no connection to the collector: write a request file to bring to its operator",
    )
    p.add_argument(
        "--response",
        metavar="FILE",
        type=Path,
        help="finish joining with the operator's answer file",
    )
    p.add_argument(
        "--new-key",
        action="store_true",
        help="draw a new key for this machine, because another one uses the present key (a copied "
        "disk); what waits here is handed in all the same",
    )
    p.add_argument(
        "--network",
        choices=("own", "allowed"),
        help="whether this network is your own, or its owner allowed this; asked if not given",
    )
    p.add_argument(
        "--yes",
        action="store_true",
        help="agree without being asked, also to everything that later plans contain",
    )
    p.add_argument(
        "--country",
        type=_make_code_parser("country_code"),
        default=None,
        metavar="CC",
        help="country of this machine, ISO 3166-1; by default derived from your address",
    )
    p.add_argument(
        "--region",
        type=_make_code_parser("region_code"),
        default=None,
        metavar="CODE",
        help="region within the country, ISO 3166-2, such as KZ-75",
    )
    p.add_argument(
        "--access",
        choices=("mobile", "fixed", "hosting"),
        default="unknown",
        help="how this machine is connected to the Internet",
    )


def run(args: argparse.Namespace) -> int:
    state = cli.get_state(args)
    if args.new_key and (args.request or args.response or not args.invite):
        cli.print_note(_("--new-key needs an INVITE and a connection to the collector."))
        raise SystemExit(2)
    if (args.request and args.response) or not (args.invite or args.response):
        cli.print_note(
            _(
                "say which INVITE; --request writes what is to be brought to the operator, "
                "--response reads what came back."
            )
        )
        raise SystemExit(2)
    state.prepare()
    with state.hold_lock():
        invite = _read_invite(args, state)
        if args.request:
            return _write_request(args.request, invite, state)
        collector = _find_collector(state)
        if args.new_key:
            return _ask_consent(args, state, _join_with_new_key(args, invite, state))
        if args.response and collector is None:
            collector = _join_by_file(args.response, invite, state)
        elif collector is None:
            collector = _join_online(args, invite, state, state.signer(create=True))
        else:
            _check_same_collector(state, collector, invite)
        return _ask_consent(args, state, collector)


def _check_same_collector(state: State, collector: Collector, invite: "Invite") -> None:
    if (collector.endpoint, collector.pin) != (invite.endpoint, invite.pin):
        raise cli.AgentCommandError(
            _(
                "{root} belongs to the collector at {endpoint}: choose another --state for this "
                "invite, or run `heliograph-agent leave` first."
            ).format(root=state.root, endpoint=collector.endpoint)
        )


def _join_with_new_key(args: argparse.Namespace, invite: "Invite", state: State) -> Collector:
    """Enroll a key that no other machine has, and make it this agent's.

    Envelopes that wait are signed by the old key and are handed in over the new agent's sessions.
    The new key stays in its file until the end, so that a run after a kill uses the same invite.
    """
    from heliograph_agent.runtime.status_file import forget_clone

    previous = _find_collector(state)
    if previous is not None:
        _check_same_collector(state, previous, invite)
    collector = _join_online(args, invite, state, state.prepared_signer(OWN_KEY))
    state.remove(NEXT_KEY)  # the other machine may have it too
    state.promote(OWN_KEY, KEY)
    forget_clone(state, previous)
    print(_("This machine has its own key now; results that wait are sent as before."))
    return collector


def _read_invite(args: argparse.Namespace, state: State) -> "Invite":
    from heliograph_agent.uplink.invite import InviteError, parse_invite

    line = args.invite
    if line is None:
        stored_line = state.read(JOINING) if args.response else None
        if stored_line is None:
            raise cli.AgentCommandError(
                _("No request went out from {root}: name the INVITE too, or the --state.").format(
                    root=state.root
                )
            )
        line = stored_line.decode("ascii", "replace")
    try:
        invite = parse_invite(line)
    except InviteError as error:
        raise cli.AgentCommandError(str(error)) from error
    if (args.request or args.response) and not invite.charter:
        raise cli.AgentCommandError(
            _(
                "This invite names no charter by which an answer could be believed: ask the "
                "operator for a new one."
            )
        )
    if args.request:
        state.write(JOINING, line.encode())
    return invite


def _write_request(file: Path, invite: "Invite", state: State) -> int:
    from heliograph_agent.enrolment import make_request_file

    cli.write_file(file, make_request_file(invite, state.signer(create=True)))
    print(
        _(
            "{file} is written. Bring it to the collector's operator, who says "
            "`heliograph-collector enrol FILE`; with what comes back: heliograph-agent join "
            "--response FILE"
        ).format(file=file)
    )
    return 0


def _join_by_file(file: Path, invite: "Invite", state: State) -> Collector:
    from heliograph_agent.enrolment import MAX_BYTES, ByFileError, read_response

    data = cli.read_file(file, MAX_BYTES)
    try:
        enrolled = read_response(data, invite, state.signer(create=True))
    except ByFileError as error:
        raise cli.AgentCommandError(f"{file} {error}.") from error
    collector = _store_enrolment(state, enrolled)
    state.remove(JOINING)
    return collector


def _join_online(
    args: argparse.Namespace, invite: "Invite", state: State, signer: "SigningKey"
) -> Collector:
    from heliograph_agent.enrolment import enrol
    from heliograph_agent.uplink.transports import UplinkError

    dial_context = cli.read_config(args).dial_context(SystemClock(), random.SystemRandom())
    try:
        enrolled = asyncio.run(enrol(invite, dial_context, signer))
    except UplinkError as error:
        raise cli.AgentCommandError(_describe_reason(error.reason, invite.endpoint)) from error
    return _store_enrolment(state, enrolled)


def _store_enrolment(state: State, enrolled: "EnrolmentResult") -> Collector:
    """Verify the plan, store both, and return the collector."""
    from heliograph_agent.uplink.signed_documents import PlanError, open_plan

    collector = enrolled.collector
    try:
        open_plan(enrolled.plan, collector, SystemClock().wall_us() // 1_000_000)
    except PlanError as error:
        raise cli.AgentCommandError(
            _(
                "The plan that {endpoint} sent is refused: {error}. Nothing was started; tell the "
                "collector's operator."
            ).format(endpoint=collector.endpoint, error=error)
        ) from error
    state.write(PLAN, enrolled.plan.SerializeToString())
    state.save_collector(collector)
    return collector


def _find_collector(state: State) -> Collector | None:
    """Return the collector of this state; None also when its file is damaged.

    A new join repairs a damaged file. Raises StateError when the file cannot be read, before an
    invite is used up.
    """
    state.read(COLLECTOR)
    with suppress(StateError):
        return state.collector()
    return None


def _ask_consent(args: argparse.Namespace, state: State, collector: Collector) -> int:
    from heliograph.observation import Access
    from heliograph_agent import consent as c

    config = cli.read_config(args)
    stored_plan = cli.read_role_plan(state)
    cli.warn_of_unmatched_opt_outs(stored_plan, config)
    plan = c.exclude_tests(stored_plan, config.without)
    previous = c.read_consent(state.read_json(CONSENT))
    country = args.country or config.country or (previous.country if previous else "")
    if args.region and country and not args.region.startswith(f"{country}-"):
        raise cli.AgentCommandError(
            _("{region} is no region of {country}: change one of them.").format(
                region=args.region, country=country
            )
        )
    if previous is None and not country and not args.yes:
        country = ask_country()
    offered_plan = c.restrict_to_basics(plan) if c.is_grave(country) else plan
    scope = frozenset({c.EVERYTHING}) if args.yes else c.consent_scope(offered_plan)
    consent = c.Consent(
        given_us=SystemClock().wall_us(),
        plan_version=plan.version,
        scope=scope,
        country=country,
        region=args.region or "",
        access=Access(args.access),
        network=args.network or "unasked",
        bytes_per_month=offered_plan.limits.bytes_per_month,
        tier=c.find_tier(country),
    )
    if previous is not None and not c.narrow_plan(offered_plan, previous)[1]:
        return _update_declared(state, collector, previous, consent)
    print(c.format_terms(offered_plan, collector.endpoint, country))
    if not args.yes:
        network = args.network or ask_network()
        if network is None or not ask_agreement():
            print(
                _(
                    "Nothing will run. To agree later, run the same command again; the invite "
                    "stays good."
                ),
                file=sys.stderr,
            )
            return 1
        consent = replace(consent, network=network)
    state.write_json(CONSENT, consent.to_json())
    print(_("Joined. Start measuring with `heliograph-agent run`."))
    if offered_plan.tasks != plan.tasks:
        print(_("What else the plan holds: `heliograph-agent plan`."))
    return 0


def _update_declared(
    state: State, collector: Collector, previous: "Consent", consent: "Consent"
) -> int:
    """Update only what the volunteer declared, on a second join of one state."""
    declared = {
        name: getattr(consent, name)
        for name in ("country", "region", "access")
        if getattr(consent, name) not in ("", "unknown")
    }
    if declared:
        state.write_json(CONSENT, replace(previous, **declared).to_json())
    sentence = (
        _("This agent has already joined {endpoint}; what you declared was noted.")
        if declared
        else _("This agent has already joined {endpoint}; nothing was changed.")
    )
    print(sentence.format(endpoint=collector.endpoint))
    return 0


def _describe_reason(reason: str, endpoint: str) -> str:
    sentence = REASONS.get(
        reason,
        mark(
            "The collector at {endpoint} answered, and did not complete the enrolment ({reason}): "
            "try again in a minute."
        ),
    )
    return _(sentence).format(endpoint=endpoint, reason=reason)


def _make_code_parser(name: str) -> Callable[[str], str]:
    """Make a parser that uses config.py, which is imported only for the option."""

    def check(raw: str) -> str:
        from heliograph_agent import config

        try:
            value: str = getattr(config, name)(raw)
        except ValueError as error:
            is_listed = isinstance(error, config.AllowedValuesError)
            allowed = str(error) if is_listed else _("two letters, ISO 3166-1")
            raise argparse.ArgumentTypeError(
                _("{value} is not allowed; allowed: {allowed}").format(
                    value=repr(raw), allowed=allowed
                )
            ) from error
        return value

    return check
