"""`heliograph-collector keys`: which keys agents go by, and how they are replaced.

Each change is a charter, signed by the root keys. One that lies in DATA/keys is used by itself;
those that were carried away are named with --root.
"""

import argparse
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliograph_collector.cli import CommandError, add_places, config_of

if TYPE_CHECKING:
    from heliograph.keys import SigningKey
    from heliograph.trust_chain import Charter
    from heliograph_collector.config.settings import Config
    from heliograph_collector.fleet import Fleet

SEEN_S = 366 * 86_400  # who was away for longer is not waited for


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = commands.add_parser(
        "keys",
        help="show or replace the keys that agents go by",
        description="Shows the charter, which names the keys, or makes the next one. A running "
        "`serve` offers it at once to every agent that comes; restart it after `rotate`.",
        epilog="Example: heliograph-collector keys rotate --root /media/stick/root-a.key",
        allow_abbrev=False,
    )
    actions = command.add_subparsers(
        dest="action", metavar="show|rotate|renew|root|retire", required=True
    )
    for name, does in (
        ("show", "print which keys stand, and how many agents follow"),
        ("rotate", "replace the keys that sign plans and open envelopes"),
        ("renew", "the same keys for another year"),
        ("root", "replace the root keys: make them where they are to lie"),
        ("retire", "delete replaced keys that nobody uses any more"),
    ):
        action = actions.add_parser(
            name,
            help=does,
            epilog=f"Example: heliograph-collector keys {name}"
            + (" a.key b.key c.key --threshold 2" if name == "root" else ""),
            allow_abbrev=False,
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
        add_places(action)


def run(args: argparse.Namespace) -> int:
    from heliograph.clock import SystemClock
    from heliograph_collector.fleet import Fleet, open_keyring
    from heliograph_collector.fleet.trust_chain import keep_charter

    config, now_s = config_of(args), SystemClock().wall_us() // 1_000_000
    with closing(Fleet(config.data)) as fleet:
        standing = keep_charter(fleet, config.data, open_keyring(config.data, []), now_s)
        act = {"show": _show, "rotate": _rotate, "renew": _renew, "root": _root, "retire": _retire}
        act[args.action](args, config, fleet, standing, now_s)
    return 0


def _show(
    _: argparse.Namespace, config: "Config", fleet: "Fleet", standing: "Charter", now_s: int
) -> None:
    from heliograph_collector.fleet.keyring import earlier, root_file

    agents = [a for a in fleet.agents() if a.revoked_s is None]
    follow = sum(a.charter >= standing.version for a in agents)
    days = (standing.expires_s - now_s) // 86_400
    root = standing.root
    print(f"Charter {standing.version}, good until {_day(standing.expires_s)} ({days} days).")
    print(f"Root: {root.threshold} of {len(root.keys)} keys must sign.")
    if root_file(config.data).exists():
        print(f"A root key lies on this machine ({root_file(config.data)}): who takes the machine")
        print("takes the fleet. Make others elsewhere: `heliograph-collector keys root FILE...`.")
    print(f"Agents that follow this charter: {follow} of {len(agents)}.")
    print(f"Replaced keys kept for late envelopes: {len(earlier(config.data))}.")


def _rotate(
    args: argparse.Namespace, config: "Config", fleet: "Fleet", standing: "Charter", now_s: int
) -> None:
    """Keys on disk first, then their charter, then the plan by the new key."""
    from heliograph.trust_chain import Role
    from heliograph_collector.fleet import open_keyring
    from heliograph_collector.fleet.keyring import draw_next, promote_next
    from heliograph_collector.fleet.plans import issue
    from heliograph_collector.fleet.plans import standing as standing_plan
    from heliograph_collector.fleet.trust_chain import add, following

    signing, sealing = draw_next(config.data)
    one = Role(1, (signing.public,))
    charter = replace(
        following(standing, now_s), plan=one, receipts=one, sealing_key=sealing.public
    )
    if standing.sealing_key != sealing.public:  # else a rotation that was broken off is ended
        add(fleet, charter, _signers(config, args.root))
    promote_next(config.data, standing.version)
    found = standing_plan(fleet)
    if found is not None:
        issue(fleet, open_keyring(config.data, []).signing, found[0], now_s)
    print(f"Charter {charter.version} is offered: new keys for plans, receipts and envelopes.")
    print("Restart `serve`. Envelopes sealed to the old key are opened until `keys retire`.")


def _renew(
    args: argparse.Namespace, config: "Config", fleet: "Fleet", standing: "Charter", now_s: int
) -> None:
    from heliograph_collector.fleet.trust_chain import add, following

    charter = following(standing, now_s)
    add(fleet, charter, _signers(config, args.root))
    print(f"Charter {charter.version} is offered, good until {_day(charter.expires_s)}.")


def _root(
    args: argparse.Namespace, config: "Config", fleet: "Fleet", standing: "Charter", now_s: int
) -> None:
    from heliograph.trust_chain import Role
    from heliograph_collector.fleet.keyring import root_file, signing_key
    from heliograph_collector.fleet.trust_chain import add, following

    if not 1 <= args.threshold <= len(args.files):
        raise CommandError(f"--threshold must be from 1 to {len(args.files)}, the number of files.")
    new = [signing_key(file, make=True) for file in args.files]
    keys = tuple(dict.fromkeys(key.public for key in new))
    if len(keys) != len(new):
        raise CommandError("two of the files hold the same key: a threshold counts keys.")
    charter = replace(following(standing, now_s), root=Role(args.threshold, keys))
    add(fleet, charter, [*_signers(config, args.root), *new])
    if root_file(config.data).resolve() not in {file.resolve() for file in args.files}:
        root_file(config.data).unlink(missing_ok=True)
    print(f"Charter {charter.version} is offered: {args.threshold} of {len(keys)} root keys.")
    print("Carry the files to places apart from each other and from this machine; keep copies.")


def _retire(
    _: argparse.Namespace, config: "Config", fleet: "Fleet", standing: "Charter", now_s: int
) -> None:
    from heliograph_collector.fleet.keyring import earlier, forget_earlier

    behind = [
        a for a in fleet.agents()
        if a.revoked_s is None
        and a.charter < standing.version
        and (a.last_seen_s or a.created_s) > now_s - SEEN_S
    ]  # fmt: skip
    if behind:
        raise CommandError(
            f"{len(behind)} agents seen within a year do not follow charter {standing.version} "
            "yet, and what they sealed could not be opened any more. Wait, or revoke them."
        )
    count = len(earlier(config.data))
    forget_earlier(config.data)
    print(f"Deleted {count} replaced keys.")


def _signers(config: "Config", files: Sequence[Path]) -> "list[SigningKey]":
    from heliograph_collector.fleet.keyring import root_file, signing_key

    here = [root_file(config.data)] if root_file(config.data).exists() else []
    return [signing_key(file) for file in (*here, *files)]


def _day(at_s: int) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d}"
