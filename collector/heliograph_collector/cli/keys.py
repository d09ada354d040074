"""Command `heliograph-collector keys`: show and replace keys that agents trust.

Each change is a charter, signed by the root keys. A root key in DATA/keys signs at once. Otherwise
a change is a draft, which root shares sign on other machines (`keys root`).
"""

import argparse
import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliograph_collector.cli import CommandError, add_command, add_common_options, load_cli_config
from heliograph_collector.cli.keys_root import (
    add_root_parser,
    complete_rotation,
    format_day,
    run_root,
    write_draft,
)

if TYPE_CHECKING:
    from heliograph.trust_chain import TrustRoot
    from heliograph_collector.config.settings import Config
    from heliograph_collector.fleet import Fleet

MAX_ABSENCE_S = 366 * 86_400  # assumed; agents absent for longer do not delay `retire`


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = add_command(
        commands,
        "keys",
        "show or replace the keys that agents go by",
        "keys rotate --draft charter.txt",
        description="Shows the charter, which names the keys, or makes the next one. A running "
        "`serve` offers it at once to every agent that comes; restart it after `rotate`.",
    )
    actions = command.add_subparsers(
        dest="action", metavar="show|rotate|renew|retire|root", required=True
    )
    for name, help_text in (
        ("show", "print which keys stand, and how many agents follow"),
        ("rotate", "replace the keys that sign plans and open envelopes"),
        ("renew", "the same keys for another year"),
        ("retire", "delete replaced keys that nobody uses any more"),
    ):
        action = add_command(actions, name, help_text, f"keys {name}")
        if name in ("rotate", "renew"):
            action.add_argument(
                "--draft", metavar="FILE", type=Path,
                help="write a draft for root shares to sign, in place of signing here",
            )  # fmt: skip
        if name == "show":
            action.add_argument("--json", action="store_true", help="print a JSON object")
        add_common_options(action, acts_on_collector=True)
    add_root_parser(actions)


def run(args: argparse.Namespace) -> int:
    if args.action == "root":
        return run_root(args)
    from heliograph.clock import SystemClock
    from heliograph_collector.fleet import Fleet, open_keyring
    from heliograph_collector.fleet.trust_chain import ensure_charter

    config = load_cli_config(args)
    now_s = SystemClock().wall_us() // 1_000_000
    with closing(Fleet(config.data)) as fleet:
        charter = ensure_charter(fleet, config.data, open_keyring(config.data, []), now_s)
        actions = {
            "show": _show_charter,
            "rotate": _rotate_keys,
            "renew": _renew_charter,
            "retire": _retire_keys,
        }
        actions[args.action](args, config, fleet, charter, now_s)
    return 0


def _show_charter(
    args: argparse.Namespace, config: "Config", fleet: "Fleet", charter: "TrustRoot", now_s: int
) -> None:
    from heliograph_collector.fleet.keyring import load_replaced_pairs
    from heliograph_collector.fleet.root_custody import find_root_risks
    from heliograph_collector.fleet.root_shares import format_fingerprint

    agents = [a for a in fleet.list_agents() if a.revoked_s is None]
    follower_count = sum(a.charter >= charter.version for a in agents)
    days = (charter.expires_s - now_s) // 86_400
    root = charter.root
    if args.json:
        document = {
            "version": charter.version,
            "expires": format_day(charter.expires_s),
            "threshold": root.threshold,
            "root_keys": [format_fingerprint(key) for key in root.keys],
            "risks": list(find_root_risks(config.data, charter)),
            "agents": len(agents),
            "followers": follower_count,
            "replaced_keys": len(load_replaced_pairs(config.data)),
        }
        print(json.dumps(document, indent=2))
        return
    print(f"Charter {charter.version}, good until {format_day(charter.expires_s)} ({days} days).")
    print(f"Root: {root.threshold} of {len(root.keys)} keys must sign:")
    for key in root.keys:
        print(f"  {format_fingerprint(key)}")
    for sentence in find_root_risks(config.data, charter):
        print(sentence)
    print(f"Agents that follow this charter: {follower_count} of {len(agents)}.")
    print(f"Replaced keys kept for late envelopes: {len(load_replaced_pairs(config.data))}.")


def _rotate_keys(
    args: argparse.Namespace,
    config: "Config",
    fleet: "Fleet",
    current_charter: "TrustRoot",
    now_s: int,
) -> None:
    """Write the keys first, then their charter, then the plan signed by the new key."""
    from heliograph.trust_chain import KeyRole
    from heliograph_collector.fleet.keyring import create_next_pair
    from heliograph_collector.fleet.trust_chain import build_renewal

    signing, sealing = create_next_pair(config.data)
    signing_role = KeyRole(1, (signing.public,))
    charter = replace(
        build_renewal(current_charter, now_s),
        plan=signing_role,
        receipts=signing_role,
        sealing_key=sealing.public,
    )
    if current_charter.sealing_key == sealing.public:  # complete an interrupted rotation
        charter = current_charter
    elif not _sign_charter(args, config, fleet, charter):
        return
    complete_rotation(config, fleet, charter)
    print(f"Charter {charter.version} is offered: new keys for plans, receipts and envelopes.")
    print("Restart `serve`. Envelopes sealed to the old key are opened until `keys retire`.")


def _renew_charter(
    args: argparse.Namespace,
    config: "Config",
    fleet: "Fleet",
    current_charter: "TrustRoot",
    now_s: int,
) -> None:
    from heliograph_collector.fleet.trust_chain import build_renewal

    charter = build_renewal(current_charter, now_s)
    if _sign_charter(args, config, fleet, charter):
        print(f"Charter {charter.version} is offered, good until {format_day(charter.expires_s)}.")


def _sign_charter(
    args: argparse.Namespace, config: "Config", fleet: "Fleet", charter: "TrustRoot"
) -> bool:
    """Sign a charter by this machine's root key, or write its draft; return if signed."""
    from heliograph_collector.fleet.trust_chain import draft_charter, install_charter

    draft = draft_charter(fleet, config.data, charter)
    if args.draft is not None:
        write_draft(draft, args.draft)
        return False
    if any(draft.count_signers(role) < role.threshold for role in draft.list_roles()):
        raise CommandError("the root keys are not on this machine: say --draft FILE.")
    install_charter(fleet, draft.signed)
    return True


def _retire_keys(
    _: argparse.Namespace, config: "Config", fleet: "Fleet", charter: "TrustRoot", now_s: int
) -> None:
    from heliograph_collector.fleet.keyring import delete_replaced_pairs, load_replaced_pairs

    agents_behind = [
        a for a in fleet.list_agents()
        if a.revoked_s is None
        and a.charter < charter.version
        and (a.last_seen_s or a.created_s) > now_s - MAX_ABSENCE_S
    ]  # fmt: skip
    if agents_behind:
        raise CommandError(
            f"{len(agents_behind)} agents seen within a year do not follow charter "
            f"{charter.version} yet, and what they sealed could not be opened any more. Wait, or "
            "revoke them."
        )
    count = len(load_replaced_pairs(config.data))
    delete_replaced_pairs(config.data)
    print(f"Deleted {count} replaced keys.")
