"""OONI's measurements as opinions on services: read and judged as `import ooni` does.

A run of a probe (its report) is one voter, since nobody tells which runs are of one probe; it is as
young as its measurement, so what comes of it is of low confidence. Of web pages the host is the
service. The network is not told either: each voter counts as one of its own.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from heliograph_collector.detect.vote_reader import opinions
from heliograph_collector.judge import judge
from heliograph_collector.model.signals import SECOND_US, Opinion
from heliograph_collector.sources.complaints import Complaints, ImportRefusedError, place
from heliograph_collector.sources.json_objects import Json, text
from heliograph_collector.sources.ooni import (
    Complaint,
    Document,
    Imported,
    UnreadableError,
    World,
    documents,
    has_control,
    read,
)
from heliograph_collector.sources.replay import Replay
from heliograph_collector.sources.timestamps import together

_MINUTE_US = 60 * SECOND_US


def is_ooni(item: Json) -> bool:
    return "test_name" in item and ("test_keys" in item or "measurement_start_time" in item)


def replay(paths: Iterable[Path], complaints: Complaints) -> Replay:
    """Files are read twice: first what other countries saw, then each is judged."""
    every = list(paths)
    world = World()
    for document in _documents(every, Complaints()):
        if not has_control(document.json):
            with suppress(UnreadableError):
                world.note(read(document.json))
    said = list(_opinions(every, world, complaints))
    low_us, high_us = together([opinion.at_us for opinion in said])
    near = [opinion for opinion in said if low_us <= opinion.at_us <= high_us]
    if far := len(said) - len(near):
        why = f"{far} measurements lie over 200 days from the others; they are left out"
        complaints.add(str(every[0]), why)
    found = sorted(near, key=lambda o: (o.at_us, o.witness.nym))
    if not found:
        raise ImportRefusedError(f"{every[0]} holds no measurement of OONI's that has a vote.")
    return Replay(
        name=every[0].stem.partition(".")[0],
        seed=0,
        since_us=found[0].at_us // _MINUTE_US * _MINUTE_US,
        until_us=(found[-1].at_us // _MINUTE_US + 1) * _MINUTE_US,
        signals=(),
        opinions=tuple(found),
        truths=(),
        vantages=tuple({o.witness.nym: o.witness for o in found}.values()),
    )


def _documents(paths: Iterable[Path], complaints: Complaints) -> Iterator[Document]:
    for found in documents(paths):
        if isinstance(found, Complaint):
            complaints.add(place(found.path, found.line), found.why)
        else:
            yield found


def _opinions(paths: Iterable[Path], world: World, complaints: Complaints) -> Iterator[Opinion]:
    for document in _documents(paths, complaints):
        where = place(document.path, document.line)
        try:
            seen = world.contrast(read(document.json))
        except UnreadableError as error:
            complaints.add(where, str(error))
            continue
        taken = replace(
            seen.taken,
            nym=_voter(document.json),
            prefix=_voter(document.json),
            measurement=replace(seen.taken.measurement, service=_service(seen)),
        )
        votes = list(opinions([(taken, judge(seen.taken, seen.control))]))
        if not votes or not votes[0].at_us:
            complaints.add(where, "it names no country or no time, so it has no vote")
            continue
        yield votes[0]


def _service(seen: Imported) -> str:
    """The service that was tested; of a page its host; else the test's own name."""
    host = ""
    with suppress(ValueError):
        host = urlsplit(seen.input).hostname or ""
    return seen.taken.measurement.service or host or seen.test_name


def _voter(document: Json) -> str:
    marks = [text(document.get(key)) for key in ("probe_id", "report_id", "measurement_uid")]
    mark = next((m for m in marks if m), text(document.get("measurement_start_time")))
    return hashlib.sha256(f"ooni\n{mark}\n{document.get('probe_asn')}".encode()).hexdigest()[:16]
