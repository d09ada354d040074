"""`relay`: print the line by which volunteers without a transport use this agent."""

import argparse
import json

from heliograph.address import parse_literal, parse_name_port
from heliograph.clock import SystemClock
from heliograph.translation import translate as _
from heliograph_agent import cli


def add_parser(commands: "cli.Subparsers") -> None:
    p = commands.add_parser(
        "relay",
        help="print the line with which other volunteers send through this agent",
        description="Print one line that names this agent as a relay. Volunteers who put it "
        "into their configuration (`uplink.relays`) send sealed results through this machine when "
        "nothing else works. You can read none of it, they learn this address, and an observer of "
        "either side sees the connection. Relaying begins once `relay.listen` is configured.",
        epilog="Example: heliograph-agent relay 203.0.113.7:7446",
    )
    p.add_argument("place", metavar="HOST:PORT", help="where others reach this machine")
    p.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    from heliograph.plan import Carrier, Entrance
    from heliograph.relay_line import format_relay_line
    from heliograph_agent.relay.key import compute_pin, load_relay_pem

    state = cli.get_state(args)
    state.joined_collector()
    try:
        if parse_literal(args.place):
            raise ValueError(f"HOST:PORT: {args.place!r} has no port")
        host, port = parse_name_port(args.place, "HOST:PORT")
    except ValueError as error:
        raise cli.AgentCommandError(f"{error}.") from error
    pin = compute_pin(load_relay_pem(state, SystemClock()))
    line = format_relay_line(Entrance(carrier=Carrier.RELAY, host=host, port=port, pin=pin))
    listens = cli.read_config(args).relay_listen
    print(json.dumps({"line": line, "listens": listens is not None}) if args.json else line)
    if listens is None:
        cli.print_note(
            _(
                "nobody is answered yet: set the key relay.listen to an address:port of this "
                "machine, such as 0.0.0.0:{port}, and start the agent again."
            ).format(port=port)
        )
    return 0
