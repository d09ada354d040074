"""Command `heliograph-collector keys root`: keep a root of trust off the machine.

`create`, `sign` and `combine` run on machines without a network and without a data directory;
`propose` and `install` run beside the collector. deploy/collector/root-of-trust.md has the steps.
"""

import argparse
import sys
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliograph_collector.cli import (
    CommandError,
    add_command,
    add_common_options,
    is_confirmed,
    load_cli_config,
)

if TYPE_CHECKING:
    from heliograph.trust_chain import TrustRoot
    from heliograph_collector.config.settings import Config
    from heliograph_collector.fleet import Fleet
    from heliograph_collector.fleet.charter_draft import CharterDraft

_ACTIONS = {
    "create": ("make a root share, on a machine without a network",
               "--share 1 --out /media/stick/share-1.key"),
    "propose": ("draft a charter of these root shares", "share-*.key.pub --out charter.txt"),
    "sign": ("sign a draft by a root share", "charter.txt --key /media/stick/share-1.key"),
    "combine": ("join the signatures of copies of a draft", "charter-*.txt --out charter.txt"),
    "install": ("offer a draft that has enough signatures", "charter.txt"),
}  # fmt: skip


def add_root_parser(actions: "argparse._SubParsersAction[Any]") -> None:
    root = add_command(
        actions,
        "root",
        "keep the root keys on other machines, in shares",
        "keys root propose share-1.key.pub share-2.key.pub share-3.key.pub --out charter.txt",
        description="The root keys sign which keys agents go by. Make three shares on machines "
        "without a network; two of them sign each change.",
    )
    root_actions = root.add_subparsers(
        dest="root_action", metavar="|".join(_ACTIONS), required=True
    )
    parsers = {
        name: add_command(root_actions, name, help_text, f"keys root {name} {example}")
        for name, (help_text, example) in _ACTIONS.items()
    }
    parsers["create"].add_argument(
        "--share", type=int, required=True, metavar="N", help="its number"
    )
    parsers["propose"].add_argument(
        "shares", nargs="+", metavar="PUBLIC", help="public line of a share, or a file that has it"
    )
    parsers["propose"].add_argument(
        "--threshold", type=int, default=2, metavar="N", help="how many shares must sign (2)"
    )
    parsers["sign"].add_argument("charter", type=Path, metavar="DRAFT")
    parsers["sign"].add_argument(
        "--key", type=Path, required=True, metavar="FILE", help="the share"
    )
    parsers["combine"].add_argument("charters", nargs="+", type=Path, metavar="DRAFT")
    parsers["install"].add_argument("charter", type=Path, metavar="DRAFT")
    for name in ("create", "propose", "sign", "combine"):
        parsers[name].add_argument(
            "--out", type=Path, required=name != "sign", metavar="FILE",
            help="the file to write" + (" (DRAFT itself)" if name == "sign" else ""),
        )  # fmt: skip
    for name in ("propose", "install"):
        add_common_options(parsers[name])
    for name in ("create", "sign", "combine"):
        parsers[name].set_defaults(is_offline=True)


def run_root(args: argparse.Namespace) -> int:
    commands = {
        "create": _create_share,
        "propose": _propose_root,
        "sign": _sign_draft,
        "combine": _combine_drafts,
        "install": _install_draft,
    }
    commands[args.root_action](args)
    return 0


def _create_share(args: argparse.Namespace) -> None:
    from heliograph.durable_file import replace_file
    from heliograph_collector.fleet.root_shares import (
        create_share,
        format_fingerprint,
        format_public_line,
    )

    share = create_share(args.out, args.share)
    public_file = args.out.with_name(f"{args.out.name}.pub")
    replace_file(public_file, f"{format_public_line(share)}\n".encode(), mode=0o644)
    print(format_public_line(share))
    print(f"Share {share.number}, key {format_fingerprint(share.key)}.")
    print(f"{args.out} stays offline; only {public_file} goes to the collector.")


def _propose_root(args: argparse.Namespace) -> None:
    from heliograph.clock import SystemClock
    from heliograph.trust_chain import KeyRole
    from heliograph_collector.fleet import Fleet, open_keyring
    from heliograph_collector.fleet.trust_chain import (
        build_first_charter,
        build_renewal,
        draft_charter,
        load_current_charter,
    )

    keys = tuple(dict.fromkeys(_read_public_key(share) for share in args.shares))
    if len(keys) != len(args.shares):
        raise CommandError("two of the shares are the same: a threshold counts different keys.")
    if not 1 <= args.threshold <= len(keys):
        raise CommandError(f"--threshold must be from 1 to {len(keys)}, the number of shares.")
    root = KeyRole(args.threshold, keys)
    config = load_cli_config(args)
    now_s = SystemClock().wall_us() // 1_000_000
    keyring = open_keyring(config.data, [])
    with closing(Fleet(config.data)) as fleet:
        current = load_current_charter(fleet)
        charter = (
            build_first_charter(keyring, root, now_s)
            if current is None
            else replace(build_renewal(current, now_s), root=root)
        )
        draft = draft_charter(fleet, config.data, charter)
    write_draft(draft, args.out)


def _read_public_key(line_or_file: str) -> bytes:
    from heliograph_collector.fleet.root_shares import (
        MAX_FILE_BYTES,
        PUBLIC_PREFIX,
        parse_public_share,
    )

    if line_or_file.strip().startswith(PUBLIC_PREFIX):
        return parse_public_share(line_or_file).key
    with Path(line_or_file).open("rb") as stream:
        return parse_public_share(stream.read(MAX_FILE_BYTES).decode("ascii", "replace")).key


def _sign_draft(args: argparse.Namespace) -> None:
    from heliograph_collector.fleet.charter_draft import sign_draft
    from heliograph_collector.fleet.root_shares import load_share

    key = load_share(args.key)
    draft = _read_draft(args.charter)
    signed_draft = sign_draft(draft, key)
    _describe_draft(draft, key.public)
    if sys.stdin.isatty() and not is_confirmed("Sign it?"):
        raise CommandError("nothing was signed.")
    write_draft(signed_draft, args.out or args.charter)


def _combine_drafts(args: argparse.Namespace) -> None:
    from heliograph_collector.fleet.charter_draft import combine_drafts

    write_draft(combine_drafts([_read_draft(file) for file in args.charters]), args.out)


def _install_draft(args: argparse.Namespace) -> None:
    from heliograph_collector.fleet import Fleet, open_keyring
    from heliograph_collector.fleet.keyring import root_key_file
    from heliograph_collector.fleet.root_custody import find_root_risks
    from heliograph_collector.fleet.trust_chain import (
        check_own_keys,
        install_charter,
        load_current_charter,
    )

    config = load_cli_config(args)
    draft = _read_draft(args.charter)
    charter = draft.charter
    keyring = open_keyring(config.data, [])
    with closing(Fleet(config.data)) as fleet:
        if load_current_charter(fleet) != charter:  # otherwise complete what was interrupted
            check_own_keys(charter, config.data, keyring)
            install_charter(fleet, draft.signed)
        complete_rotation(config, fleet, charter)
    _delete_local_root(root_key_file(config.data), charter)
    print(
        f"Charter {charter.version} is offered: {charter.root.threshold} of "
        f"{len(charter.root.keys)} root keys. Restart `serve` if keys were rotated."
    )
    for sentence in find_root_risks(config.data, charter):
        print(sentence)


def complete_rotation(config: "Config", fleet: "Fleet", charter: "TrustRoot") -> None:
    """Install the next pair of keys if this charter names it, and sign the plan by it."""
    from heliograph.clock import SystemClock
    from heliograph_collector.fleet import open_keyring
    from heliograph_collector.fleet.keyring import names_next_pair, promote_next_pair
    from heliograph_collector.fleet.plans import issue_plan, load_current_plan

    if not names_next_pair(config.data, charter.sealing_key, charter.plan.keys):
        return
    promote_next_pair(config.data, charter.version - 1)
    current_plan = load_current_plan(fleet)
    if current_plan is not None:
        now_s = SystemClock().wall_us() // 1_000_000
        issue_plan(fleet, open_keyring(config.data, []).signing, current_plan[0], now_s)


def _delete_local_root(file: Path, charter: "TrustRoot") -> None:
    """Delete the root key of this machine once the charter has replaced it."""
    from heliograph_collector.fleet.keyring import load_signing_key

    if file.exists() and load_signing_key(file).public not in charter.root.keys:
        file.unlink()
        print(f"{file} was deleted. Backups may hold it: delete it there too.")


def _read_draft(file: Path) -> "CharterDraft":
    from heliograph_collector.fleet.charter_draft import MAX_BYTES, parse_draft

    with file.open("rb") as stream:
        return parse_draft(stream.read(MAX_BYTES + 1))


def write_draft(draft: "CharterDraft", file: Path) -> None:
    """Write a draft and print which signatures it lacks."""
    from heliograph.durable_file import replace_file
    from heliograph_collector.fleet.charter_draft import format_draft

    replace_file(file, format_draft(draft).encode(), mode=0o644)
    missing = [max(0, role.threshold - draft.count_signers(role)) for role in draft.list_roles()]
    print(f"{file} is charter {draft.charter.version}.")
    if not any(missing):
        print(f"It has enough signatures: `heliograph-collector keys root install {file}`.")
        return
    print(f"The root keys that it names must sign {missing[0]} times more.")
    if missing[1:] and missing[1]:
        print(f"The root keys of the charter before it must sign {missing[1]} times more.")


def _describe_draft(draft: "CharterDraft", own_key: bytes) -> None:
    """Print what a draft changes, before its holder of a share signs."""
    from heliograph_collector.fleet.root_shares import format_fingerprint

    charter = draft.charter
    previous = draft.previous_charter
    print(f"Charter {charter.version}, good until {format_day(charter.expires_s)}.")
    print(f"Root: {charter.root.threshold} of {len(charter.root.keys)} keys must sign:")
    for key in charter.root.keys:
        marks = ["(yours)"] if key == own_key else []
        marks += ["(NEW)"] if previous is not None and key not in previous.root.keys else []
        print("  ".join(["", format_fingerprint(key), *marks]))
    if own_key not in charter.root.keys:
        print("Your share is none of them: this charter takes it out of the root.")
    if previous is None:
        print("It is the first charter of a collector.")
        return
    for key in previous.root.keys:
        if key not in charter.root.keys:
            print(f"  {format_fingerprint(key)}  (OUT)")
    same = previous.sealing_key == charter.sealing_key and previous.plan == charter.plan
    print(f"Keys of plans and envelopes: {'as before' if same else 'NEW'}.")


def format_day(at_s: int) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d}"
