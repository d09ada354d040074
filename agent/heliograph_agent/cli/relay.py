"""`relay`: print the line by which volunteers without a transport use this agent."""

import argparse
import json
import sys

from heliograph.address import parse_literal, parse_name_port
from heliograph_agent import cli
from heliograph_agent.state import not_joined_error


def add_parser(commands: "cli.Subparsers") -> None:
    p = commands.add_parser(
        "relay",
        help="print the line by which other volunteers send by this agent",
        description="Print one line that names this agent as a relay. Who puts it into their "
        "configuration (`uplink.relays`) sends sealed results by this machine when nothing else "
        "is open to them: you can read none of it, they learn this address, and whoever watches "
        "either line sees that the two talk. It answers once `relay.listen` is configured.",
        epilog="Example: heliograph-agent relay 203.0.113.7:7446",
    )
    p.add_argument("place", metavar="HOST:PORT", help="where others reach this machine")
    p.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    from heliograph.clock import SystemClock
    from heliograph.plan import Carrier, Entrance
    from heliograph.relay_line import format_relay_line
    from heliograph_agent.config import load_config
    from heliograph_agent.relay.key import compute_pin, load_relay_pem

    state = cli.get_state(args)
    if state.collector() is None:
        raise not_joined_error(state)
    try:
        if parse_literal(args.place):
            raise ValueError(f"HOST:PORT: {args.place!r} has no port")
        host, port = parse_name_port(args.place, "HOST:PORT")
    except ValueError as error:
        raise cli.AgentCommandError(f"{error}.") from error
    pin = compute_pin(load_relay_pem(state, SystemClock()))
    line = format_relay_line(Entrance(carrier=Carrier.RELAY, host=host, port=port, pin=pin))
    listens = load_config(cli.get_config_path(args)).relay_listen
    print(json.dumps({"line": line, "listens": listens is not None}) if args.json else line)
    if listens is None:
        print(
            "heliograph-agent: nobody is answered yet: set the key relay.listen to an "
            f"address:port of this machine, such as 0.0.0.0:{port}, and start the agent again.",
            file=sys.stderr,
        )
    return 0
