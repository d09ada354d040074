"""Command `heliograph-collector replay`: run signals through the detectors."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliograph_collector.cli import CommandError, add_command, sanitize_text

if TYPE_CHECKING:
    from heliograph_collector.incidents.incident import Incident

_MAX_GAPS = 100  # that are named; all are counted
_BRIEF_US = 60_000_000  # of a gap that is counted and not named, as while the first agents come


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = add_command(
        commands,
        "replay",
        "run the detectors over signals from a file",
        "replay --json SIGNALS.jsonl",
        description="Plays presence, faults, votes and levels, one JSON object a line, through "
        "the detectors that a collector runs, and prints the incidents, and where and when nothing "
        "could be judged. `import series` writes such files; sources/README.md describes "
        "their keys. Nothing is stored or published. "
        "Exit code: 0 replayed, 1 refused, 2 wrong usage.",
    )
    command.add_argument("signals", metavar="SIGNALS", type=Path, help="a file of signals")
    command.add_argument("--json", action="store_true", help="one JSON object a line")


def run(args: argparse.Namespace) -> int:
    from heliograph_collector.app.commands import replay_file
    from heliograph_collector.sources.complaints import ImportRefusedError

    try:
        result = replay_file(args.signals.expanduser())
    except ImportRefusedError as error:
        raise CommandError(str(error)) from error
    for incident in result.incidents:
        print(_encode_incident(incident) if args.json else _describe_incident(incident))
    for beginning in result.doubtful:
        print(sanitize_text(beginning.describe()), file=sys.stderr)
    notes = sys.stderr if args.json else sys.stdout
    gaps = [gap for gap in result.coverage_gaps if gap.until_us - gap.since_us >= _BRIEF_US]
    for gap in gaps[:_MAX_GAPS]:
        print(sanitize_text(gap.describe()), file=notes)
    blind = f"{len(result.coverage_gaps)} coverage gaps, {result.late_votes} votes that came late."
    if not args.json:
        print(f"{len(result.incidents)} incidents, {blind}")
    elif result.coverage_gaps or result.late_votes:
        print(blind, file=sys.stderr)
    return 0


def _encode_incident(incident: "Incident") -> str:
    """Return the record as in the signed log, with the delays in seconds.

    Each delay counts from the earliest possible onset or end, so it is an upper bound.
    """
    import msgspec

    from heliograph_collector.incidents.record import incident_record

    document = msgspec.to_builtins(incident_record(incident))
    document["delays"] = {
        "suspected_s": _count_seconds(incident.started.earliest_us, incident.suspected_us),
        "confirmed_s": _count_seconds(incident.started.earliest_us, incident.confirmed_us),
        "closed_s": _count_seconds(
            incident.ended.earliest_us if incident.ended else None, incident.closed_us
        ),
    }
    return msgspec.json.encode(document).decode()


def _count_seconds(since_us: int | None, until_us: int | None) -> float | None:
    return None if since_us is None or until_us is None else round((until_us - since_us) / 1e6, 1)


def _describe_incident(incident: "Incident") -> str:
    from heliograph.timestamps import format_timestamp

    scope = incident.scope
    location = "/".join(
        filter(None, (scope.country, scope.region, f"AS{scope.asn}" * bool(scope.asn)))
    )
    subject = incident.service or incident.layer or "all"
    since = format_timestamp(incident.started.latest_us)[:19]
    end = f" to {format_timestamp(incident.ended.latest_us)[:19]}" if incident.ended else ""
    return sanitize_text(
        f"{location} {incident.label}: {incident.kind} ({subject}) {incident.state}, "
        f"from {since}{end} UTC, confidence {incident.confidence:g}"
    )
