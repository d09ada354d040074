"""Command `heliograph-collector keys`: show and replace keys that agents trust.

Each change is a charter, signed by the root keys. A root key in DATA/keys signs without being
named. Root keys kept elsewhere are named by --root.
"""

import argparse
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliograph_collector.cli import CommandError, add_command, add_common_options, load_cli_config

if TYPE_CHECKING:
    from heliograph.keys import SigningKey
    from heliograph.trust_chain import TrustRoot
    from heliograph_collector.config.settings import Config
    from heliograph_collector.fleet import Fleet

MAX_ABSENCE_S = 366 * 86_400  # assumed; agents absent for longer do not delay `retire`


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = add_command(
        commands,
        "keys",
        "show or replace the keys that agents go by",
        "keys rotate --root /media/stick/root-a.key",
        description="Shows the charter, which names the keys, or makes the next one. A running "
        "`serve` offers it at once to every agent that comes; restart it after `rotate`.",
    )
    actions = command.add_subparsers(
        dest="action", metavar="show|rotate|renew|root|retire", required=True
    )
    for name, help_text in (
        ("show", "print which keys stand, and how many agents follow"),
        ("rotate", "replace the keys that sign plans and open envelopes"),
        ("renew", "the same keys for another year"),
        ("root", "replace the root keys: make them where they are to lie"),
        ("retire", "delete replaced keys that nobody uses any more"),
    ):
        action = add_command(
            actions,
            name,
            help_text,
            f"keys {name}" + (" a.key b.key c.key --threshold 2" if name == "root" else ""),
        )
        if name == "root":
            action.add_argument("files", metavar="FILE", nargs="+", type=Path, help="the new ones")
            action.add_argument(
                "--threshold", type=int, default=1, metavar="N", help="how many must sign (1)"
            )
        if name in ("rotate", "renew", "root"):
            action.add_argument(
                "--root", metavar="FILE", type=Path, action="append", default=[],
                help="a root key that signs; again for each that is needed",
            )  # fmt: skip
        add_common_options(action)


def run(args: argparse.Namespace) -> int:
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
            "root": _replace_root,
            "retire": _retire_keys,
        }
        actions[args.action](args, config, fleet, charter, now_s)
    return 0


def _show_charter(
    _: argparse.Namespace, config: "Config", fleet: "Fleet", charter: "TrustRoot", now_s: int
) -> None:
    from heliograph_collector.fleet.keyring import load_replaced_pairs, root_key_file

    agents = [a for a in fleet.list_agents() if a.revoked_s is None]
    follower_count = sum(a.charter >= charter.version for a in agents)
    days = (charter.expires_s - now_s) // 86_400
    root = charter.root
    print(f"Charter {charter.version}, good until {_format_day(charter.expires_s)} ({days} days).")
    print(f"Root: {root.threshold} of {len(root.keys)} keys must sign.")
    if root_key_file(config.data).exists():
        print(
            f"A root key lies on this machine ({root_key_file(config.data)}): who takes the machine"
        )
        print("takes the fleet. Make others elsewhere: `heliograph-collector keys root FILE...`.")
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
    from heliograph_collector.fleet import open_keyring
    from heliograph_collector.fleet.keyring import create_next_pair, promote_next_pair
    from heliograph_collector.fleet.plans import issue_plan
    from heliograph_collector.fleet.plans import load_current_plan as standing_plan
    from heliograph_collector.fleet.trust_chain import add_charter, build_renewal

    signing, sealing = create_next_pair(config.data)
    signing_role = KeyRole(1, (signing.public,))
    charter = replace(
        build_renewal(current_charter, now_s),
        plan=signing_role,
        receipts=signing_role,
        sealing_key=sealing.public,
    )
    if current_charter.sealing_key != sealing.public:  # otherwise complete an interrupted rotation
        add_charter(fleet, charter, _load_signers(config, args.root))
    promote_next_pair(config.data, current_charter.version)
    current_plan = standing_plan(fleet)
    if current_plan is not None:
        issue_plan(fleet, open_keyring(config.data, []).signing, current_plan[0], now_s)
    print(f"Charter {charter.version} is offered: new keys for plans, receipts and envelopes.")
    print("Restart `serve`. Envelopes sealed to the old key are opened until `keys retire`.")


def _renew_charter(
    args: argparse.Namespace,
    config: "Config",
    fleet: "Fleet",
    current_charter: "TrustRoot",
    now_s: int,
) -> None:
    from heliograph_collector.fleet.trust_chain import add_charter, build_renewal

    charter = build_renewal(current_charter, now_s)
    add_charter(fleet, charter, _load_signers(config, args.root))
    print(f"Charter {charter.version} is offered, good until {_format_day(charter.expires_s)}.")


def _replace_root(
    args: argparse.Namespace,
    config: "Config",
    fleet: "Fleet",
    current_charter: "TrustRoot",
    now_s: int,
) -> None:
    from heliograph.trust_chain import KeyRole
    from heliograph_collector.fleet.keyring import load_signing_key, root_key_file
    from heliograph_collector.fleet.trust_chain import add_charter, build_renewal

    if not 1 <= args.threshold <= len(args.files):
        raise CommandError(f"--threshold must be from 1 to {len(args.files)}, the number of files.")
    new_keys = [load_signing_key(file, make=True) for file in args.files]
    keys = tuple(dict.fromkeys(key.public for key in new_keys))
    if len(keys) != len(new_keys):
        raise CommandError("two of the files hold the same key: a threshold counts keys.")
    charter = replace(build_renewal(current_charter, now_s), root=KeyRole(args.threshold, keys))
    add_charter(fleet, charter, [*_load_signers(config, args.root), *new_keys])
    if root_key_file(config.data).resolve() not in {file.resolve() for file in args.files}:
        root_key_file(config.data).unlink(missing_ok=True)
    print(f"Charter {charter.version} is offered: {args.threshold} of {len(keys)} root keys.")
    print("Carry the files to places apart from each other and from this machine; keep copies.")


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


def _load_signers(config: "Config", files: Sequence[Path]) -> "list[SigningKey]":
    from heliograph_collector.fleet.keyring import load_signing_key, root_key_file

    local_files = [root_key_file(config.data)] if root_key_file(config.data).exists() else []
    return [load_signing_key(file) for file in (*local_files, *files)]


def _format_day(at_s: int) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d}"
