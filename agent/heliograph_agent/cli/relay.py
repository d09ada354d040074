"""`relay`: the line by which volunteers without a way out find this agent."""

import argparse
import json
import sys

from heliograph.address import literal, name_port
from heliograph_agent import cli
from heliograph_agent.state import not_joined


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
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
    from heliograph.relay_line import line_of
    from heliograph_agent.config import load
    from heliograph_agent.relay.key import pin_of, relay_pem

    state = cli.state_of(args)
    if state.collector() is None:
        raise not_joined(state)
    try:
        if literal(args.place):
            raise ValueError(f"HOST:PORT: {args.place!r} has no port")
        host, port = name_port(args.place, "HOST:PORT")
    except ValueError as error:
        raise cli.CommandError(f"{error}.") from error
    pin = pin_of(relay_pem(state, SystemClock()))
    line = line_of(Entrance(carrier=Carrier.RELAY, host=host, port=port, pin=pin))
    listens = load(cli.config_of(args)).relay_listen
    print(json.dumps({"line": line, "listens": listens is not None}) if args.json else line)
    if listens is None:
        print(
            "heliograph-agent: nobody is answered yet: set the key relay.listen to an "
            f"address:port of this machine, such as 0.0.0.0:{port}, and start the agent again.",
            file=sys.stderr,
        )
    return 0
