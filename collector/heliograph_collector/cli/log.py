"""Command `heliograph-collector log verify`: verify an alert log.

It checks that the log is complete, in order and signed by the collector.
"""

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliograph.keys import SigningKey
from heliograph_collector.cli import CommandError, add_command, add_common_options, load_cli_config

if TYPE_CHECKING:
    from heliograph_collector.incidents.log_file import Proof, Reproduction

_FEED_PREFIX = b'{"entries":['  # start of the feed's JSON, which no line of the log has
_MAX_FEED_BYTES = 64 * 1_048_576


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = add_command(
        commands,
        "log",
        "verify an alert log",
        "log verify",
        description="Verifies the signed, hash-chained log of alerts.",
    )
    actions = command.add_subparsers(dest="action", metavar="verify", required=True)
    verifying = add_command(
        actions,
        "verify",
        "verify every entry of a log",
        "log verify alerts.jsonl --key 9f0c… --head 77ab…; "
        "all three are published at /api/v1/log, and no data directory is needed for them.",
        description="Checks every entry's hash, number and signature; names the first bad one.",
    )
    verifying.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help="a log, or a download of one (default: the log in DATA)",
    )
    verifying.add_argument("--key", metavar="HEX", help="the public key (that of DATA)")
    verifying.add_argument("--head", metavar="HEX", help="the hash that its last entry must have")
    verifying.add_argument(
        "--again",
        action="store_true",
        help="also compute each entry again from the checkpoint and rows in DATA that it names",
    )
    verifying.add_argument("--json", action="store_true", help="print a JSON object")
    add_common_options(verifying)


def run(args: argparse.Namespace) -> int:
    from heliograph_collector.incidents.log_file import LOG_FILE_NAME, verify_lines

    data = load_cli_config(args).data
    file = Path(args.file).expanduser() if args.file else data / LOG_FILE_NAME
    if not file.exists():
        if (data / "keys").is_dir() and not args.file:
            raise CommandError(
                f"{file} is not there: this collector has reported nothing yet, or its log was "
                "taken away. Compare with a copy that was saved, or with what readers have."
            )
        raise CommandError(f"{file} is not there: name the log's file, or its --data directory.")
    public_key = _parse_public_key(args.key) if args.key else _load_public_key(data)
    lines, head = _read_log(file)
    head = (args.head or head).lower()
    proof = verify_lines(lines, public_key, head)
    if args.file and not (head or proof.entries or proof.bad):
        raise CommandError(
            f"{file} holds no entry, so nothing was verified: download the log again, "
            "or name with --head the hash that its end must have."
        )
    reproduction = (
        _reproduce_entries(_read_log(file)[0], proof.entries, data) if args.again else None
    )
    if args.json:
        print(_format_json(proof, reproduction))
    else:
        again = reproduction.describe() if reproduction else ()
        print("\n".join([_format_proof(proof, head), *again]))
    return 0 if proof.bad is None and not (reproduction and reproduction.differ) else 1


def _reproduce_entries(lines: Iterable[bytes], entries: int, data: Path) -> "Reproduction":
    from heliograph_collector.app.commands import reproduce_log
    from heliograph_collector.config.errors import CannotServeError

    try:
        return reproduce_log(lines, entries, data)
    except CannotServeError as error:
        raise CommandError(str(error)) from error


def _read_log(file: Path) -> tuple[Iterable[bytes], str]:
    """Read (lines, expected head) of a log; the head is "" if the file has none.

    The file may also be the feed's JSON answer (`/api/v1/log`).
    """
    from heliograph.durable_file import read_lines
    from heliograph_collector.incidents.log_file import canonical_json

    with file.open("rb") as stream:
        prefix = stream.read(len(_FEED_PREFIX))
    if prefix != _FEED_PREFIX or file.stat().st_size > _MAX_FEED_BYTES:
        return read_lines(file), ""
    try:
        document = json.loads(file.read_bytes())
        return [canonical_json(entry) for entry in document["entries"]], str(document["head"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise CommandError(
            f"{file} is a damaged answer: download the log again, with ?format=jsonl."
        ) from None


def _parse_public_key(hex_digits: str) -> bytes:
    try:
        key = bytes.fromhex(hex_digits)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise CommandError("--key wants the 64 hex digits of an Ed25519 public key.")
    return key


def _load_public_key(data: Path) -> bytes:
    file = data / "keys" / "signing.key"
    if not file.exists():
        raise CommandError(f"no key is in {data}: name the collector's public key with --key.")
    try:
        return SigningKey(file.read_bytes()).public
    except ValueError:
        raise CommandError(f"{file} is damaged: restore it from a backup.") from None


def _format_proof(proof: "Proof", expected_head: str) -> str:
    if proof.bad is None and not proof.entries:
        return "The log has no entry yet."
    summary = f"{proof.entries} entries hold: in order, unaltered, signed by this key."
    if proof.acts:
        summary += f" {proof.acts} of them are the operator's own words."
    head = f"Head {proof.head}"
    if proof.bad is None and not expected_head:
        head += "\nEntries after it may be missing: compare the published head, or pass --head."
    if proof.bad is None:
        return f"{summary}\n{head}"
    return f"Entry {proof.bad} is bad: {proof.why}.\nBefore it {summary}\n{head}"


def _format_json(proof: "Proof", reproduction: "Reproduction | None") -> str:
    document = {
        "entries": proof.entries,
        "operator": proof.acts,
        "head": proof.head,
        "bad": proof.bad,
        "why": proof.why,
    }
    again = {"again": asdict(reproduction)} if reproduction else {}
    return json.dumps(document | again)
