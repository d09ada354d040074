"""Replay OONI's measurements as votes on services.

OONI's measurements become votes on services, read and judged as by `import ooni`. A run of a probe
(its report) is one voter in a separate network, because OONI publishes neither the probe nor the
network prefix. OONI does not publish an age either: a voter counts as established, because nobody
who ran a recorded probe meant to mislead this detector. So such a replay is no evidence on floods
of new keys. The service of a web page is its host.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from heliograph.units import MINUTE_US
from heliograph_collector.model.records import ControlView, ReceivedMeasurement
from heliograph_collector.model.seniority import Seniority
from heliograph_collector.model.signals import ServiceVote
from heliograph_collector.sources.complaints import (
    Complaints,
    ImportRefusedError,
    describe_location,
)
from heliograph_collector.sources.ooni import (
    Complaint,
    ImportedMeasurement,
    OoniDocument,
    UnreadableError,
    read_documents,
    read_measurement,
)
from heliograph_collector.sources.ooni.judged_import import collect_peers
from heliograph_collector.sources.replay import Replay
from heliograph_collector.sources.timestamps import find_time_range


class Voter(Protocol):
    """Derives votes from a measurement. Implemented by app.commands."""

    def list_votes(
        self, record: ReceivedMeasurement, control: ControlView
    ) -> Sequence[ServiceVote]: ...


def read_ooni_replay(paths: Iterable[Path], voter: Voter, complaints: Complaints) -> Replay:
    """Read files twice: first results of other countries, then votes that use them."""
    all_paths = list(paths)
    all_votes = list(_read_votes(all_paths, voter, complaints))
    low_us, high_us = find_time_range([vote.at_us for vote in all_votes])
    voted = [vote for vote in all_votes if low_us <= vote.at_us <= high_us]
    voted.sort(key=attrgetter("at_us", "witness.nym"))
    if far := len(all_votes) - len(voted):
        complaint = f"{far} measurements lie over 200 days from the others; they are left out"
        complaints.add(str(all_paths[0]), complaint)
    if not voted:
        raise ImportRefusedError(f"{all_paths[0]} holds no measurement of OONI's that has a vote.")
    return Replay(
        name=all_paths[0].stem.partition(".")[0],
        seed=0,
        since_us=voted[0].at_us // MINUTE_US * MINUTE_US,
        until_us=(voted[-1].at_us // MINUTE_US + 1) * MINUTE_US,
        signals=(),
        opinions=tuple(voted),
        truths=(),
        vantages=tuple({vote.witness.nym: vote.witness for vote in voted}.values()),
    )


def _read_votes(
    paths: Sequence[Path], voter: Voter, complaints: Complaints
) -> Iterator[ServiceVote]:
    peers = collect_peers(paths)
    for document in read_documents(paths):
        location = describe_location(document.path, document.line)
        if isinstance(document, Complaint):
            complaints.add(location, document.reason)
            continue
        try:
            imported = peers.compare_peers(read_measurement(document.measurement))
        except UnreadableError as error:
            complaints.add(location, str(error))
            continue
        record = _make_voter_record(imported, document.measurement)
        votes = voter.list_votes(record, imported.control)
        if votes and votes[0].at_us:
            yield votes[0]
        else:
            complaints.add(location, "it names no country or no time, so it has no vote")


def _make_voter_record(
    imported: ImportedMeasurement, measurement: OoniDocument
) -> ReceivedMeasurement:
    voter_id = _derive_voter_id(measurement)
    record = imported.record
    measured = replace(record.measurement, service=_service_name(imported))
    return replace(
        record,
        pseudonym=voter_id,
        prefix=voter_id,
        measurement=measured,
        seniority=Seniority.ESTABLISHED,
    )


def _service_name(imported: ImportedMeasurement) -> str:
    host = ""
    with suppress(ValueError):
        host = urlsplit(imported.input).hostname or ""
    return imported.record.measurement.service or host or imported.test_name


def _derive_voter_id(measurement: OoniDocument) -> str:
    mark = measurement.probe_id or measurement.report_id or measurement.measurement_uid
    mark = mark or measurement.measurement_start_time
    return hashlib.sha256(f"ooni\n{mark}\n{measurement.probe_asn}".encode()).hexdigest()[:16]
