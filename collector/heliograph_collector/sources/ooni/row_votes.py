"""OONI's rows and counts, as its API lists them, as votes on services.

A page of `/api/v1/measurements` lists a row for each measurement, with OONI's conclusion
(`anomaly`, `confirmed`, `failure`) and no steps. `/api/v1/aggregation` counts them by day or hour.
The tables of OONI's pipeline have the same columns, or those of its analysis (`tcp_blocked` …).
Where the steps are at hand, `import ooni` judges these instead; here OONI's word is all there is.

An anomaly is a failing vote, `failure` none. A row's voter is its report, as in `vote_replay`.
Where a table names none, the rows of ten minutes by one network and resolver are one voter: a run
tests many pages of one host. Each count is a separate voter. The content of a day's count is known
at the day's end, so all of it counts in the last hour.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from urllib.parse import urlsplit

from heliograph.units import DAY_US, HOUR_US, MINUTE_US
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import ServiceVote, VantageLocation, VantageRef, VoteValue
from heliograph_collector.sources.complaints import (
    Complaints,
    ImportRefusedError,
    describe_location,
)
from heliograph_collector.sources.entity import UNKNOWN_COUNTRY, CountryNames
from heliograph_collector.sources.json_objects import JsonObject, looks_like_json, read_objects
from heliograph_collector.sources.replay import Replay
from heliograph_collector.sources.table_file import open_table
from heliograph_collector.sources.timestamps import find_time_range, parse_timestamp
from heliograph_collector.sources.typed_reader import as_number

_TIMES = ("measurement_start_time", "measurement_start_day", "test_start_time")
_LAYERS = ("dns", "tcp", "tls")
_BLOCKED_SCORE = 0.5  # of OONI's analysis, from which a layer counts as blocked; assumed
_MOST_VOTES_AN_HOUR = 24  # of one count: more of them add nothing, and are scaled; assumed
_RUN_US = 10 * MINUTE_US  # of one run; assumed
_TRUE = ("t", "true", "yes")
_ACCESS = {"mobile": "mobile", "wifi": "fixed", "wired_ethernet": "fixed"}
Fields = Mapping[str, object]


def is_row(item: JsonObject) -> bool:
    """Return whether an object is a row, or a page of rows or counts."""
    return any(_is_row_fields(fields) for fields in _iterate_rows(item.fields)) or (
        "results" in item.fields and "metadata" in item.fields
    )


def is_row_table(path: Path) -> bool:
    try:
        header = open_table(path, Complaints()).lower_names
    except ImportRefusedError:
        return False
    return _is_row_fields(dict.fromkeys(header, ""))


def read_rows_replay(
    paths: Sequence[Path], scope: Scope | None, complaints: Complaints, countries: CountryNames
) -> Replay:
    """Read rows and counts as votes. Raises ImportRefusedError if none has a vote."""
    votes: list[ServiceVote] = []
    for path in paths:
        place = scope or countries.guess(path.stem)
        for line, fields in _read_rows(path, complaints):
            try:
                votes += _build_votes(fields, place, path.name.partition(".")[0])
            except ValueError as error:
                complaints.add(describe_location(path, line), str(error))
    low_us, high_us = find_time_range([vote.at_us for vote in votes])
    selected = sorted(
        {v: None for v in votes if low_us <= v.at_us <= high_us}, key=attrgetter("at_us")
    )
    if not selected:
        reason = complaints.sentences[0] if complaints.sentences else ""
        raise ImportRefusedError(
            f"{paths[0]} holds no row of OONI's that has a vote. {reason}".strip()
        )
    if any(vote.witness.place.country == UNKNOWN_COUNTRY for vote in selected):
        complaints.add(
            str(paths[0]), "it does not tell of which country it is; it is called ZZ: name it"
        )
    return Replay(
        name=paths[0].stem.partition(".")[0],
        seed=0,
        since_us=selected[0].at_us // MINUTE_US * MINUTE_US,
        until_us=(selected[-1].at_us // MINUTE_US + 1) * MINUTE_US,
        signals=(),
        opinions=tuple(selected),
        truths=(),
        vantages=tuple({vote.witness.nym: vote.witness for vote in selected}.values()),
    )


def _read_rows(path: Path, complaints: Complaints) -> Iterator[tuple[int, Fields]]:
    if looks_like_json(path):
        for item in read_objects(path, complaints):
            for fields in _iterate_rows(item.fields):
                yield item.line, fields
        return
    table = open_table(path, complaints)
    for line, row in table.rows:
        yield line, dict(zip(table.lower_names, row, strict=False))


def _iterate_rows(fields: Fields) -> Iterator[Fields]:
    """Yield the rows of a page or an answer; of anything else itself."""
    rows = fields.get("results", fields.get("result"))
    if isinstance(rows, dict):
        yield rows
    elif isinstance(rows, list):
        yield from (row for row in rows if isinstance(row, dict))
    else:
        yield fields


def _is_row_fields(fields: Fields) -> bool:
    if "test_keys" in fields:
        return False
    if _find_refusal(fields):
        return True
    is_count = "measurement_count" in fields and "anomaly_count" in fields
    has_time = "measurement_start_time" in fields or "test_start_time" in fields
    return is_count or (has_time and ("anomaly" in fields or "tcp_blocked" in fields))


def _find_refusal(fields: Fields) -> str:
    """Return why rows of OONI's newer API have no votes; "" if they may have.

    Read as a table, they would be levels of how many people test, which no outage lowers by itself.
    """
    if "loni" in fields:
        return "its scores are quantiles of many tests: ask for /api/v1/aggregation instead"
    if "observation_count" in fields:
        return "it counts steps of tests: ask for /api/v1/measurements instead"
    return ""


def _build_votes(fields: Fields, place: Scope, otherwise: str) -> list[ServiceVote]:
    """Build the votes of a row. Raises ValueError with the reason why it has none.

    Args:
        fields: A row of a measurement, or one of counts.
        place: Where it is, if it names no country.
        otherwise: The service, if it names none.
    """
    if refusal := _find_refusal(fields):
        raise ValueError(refusal)
    time = next((fields[name] for name in _TIMES if fields.get(name)), None)
    at_us = parse_timestamp(time)
    if at_us is None:
        raise ValueError("it names no time (counts need axis_x=measurement_start_day)")
    witness_place = _read_place(fields, place)
    service = _read_service(fields) or otherwise
    if "anomaly_count" in fields:
        width_us = DAY_US if len(str(time)) <= len("2026-01-18") else HOUR_US
        return list(_spread_counts(fields, at_us, width_us, witness_place, service))
    value = _read_value(fields)
    if value is VoteValue.UNKNOWN:
        return []
    run = (at_us // _RUN_US, fields.get("resolver_asn"), fields.get("network_type"))
    witness = _make_voter((fields.get("report_id") or run, witness_place.asn), witness_place)
    layer = _find_layer(fields) if value is VoteValue.BLOCKED else ""
    test_name = str(fields.get("test_name") or "")[:64]
    return [ServiceVote(at_us, witness, service, value, layer, source=test_name)]


def _spread_counts(
    fields: Fields, at_us: int, width_us: int, place: VantageLocation, service: str
) -> Iterator[ServiceVote]:
    """Yield the votes of counts, evenly over the last hour of their time."""
    good = _read_count(fields, "ok_count")
    bad = _read_count(fields, "anomaly_count") + _read_count(fields, "confirmed_count")
    if "ok_count" not in fields:  # before 2022
        total = _read_count(fields, "measurement_count")
        good = max(0, total - bad - _read_count(fields, "failure_count"))
    total = good + bad
    count = min(total, _MOST_VOTES_AN_HOUR * (width_us // HOUR_US))
    for index in range(count):
        is_bad = _count_bad(index + 1, bad, total) > _count_bad(index, bad, total)
        witness = _make_voter((at_us, place.asn, service, index), place)
        value = VoteValue.BLOCKED if is_bad else VoteValue.GOOD
        known_us = at_us + width_us - HOUR_US + (2 * index + 1) * HOUR_US // (2 * count)
        yield ServiceVote(known_us, witness, service, value)


def _count_bad(index: int, bad: int, total: int) -> int:
    """Count the failures among the first votes of a count.

    Their order is not known. A few lie in the middle, and one of two is the second: where a block
    begins within an hour, what worked in it came first.
    """
    return (2 * index * bad + total - 1) // (2 * total)


def _read_place(fields: Fields, place: Scope) -> VantageLocation:
    country = str(fields.get("probe_cc") or "").upper()
    asn = as_number(str(fields.get("probe_asn") or "").upper().removeprefix("AS")) or 0
    access = _ACCESS.get(str(fields.get("network_type") or ""), "")
    return VantageLocation(country if len(country) == 2 else place.country, "", int(asn), access)


def _read_service(fields: Fields) -> str:
    """Return the host of a page, or the name of a messenger's test."""
    domain = fields.get("domain") or fields.get("input")
    if isinstance(domain, str) and domain:
        text = domain if "://" in domain else f"//{domain}"
        try:
            return (urlsplit(text).hostname or domain)[:128]
        except ValueError:
            return domain[:128]
    return str(fields.get("test_name") or "")[:128]


def _read_value(fields: Fields) -> VoteValue:
    if "tcp_blocked" in fields:
        scores = [as_number(fields.get(f"{layer}_blocked")) or 0.0 for layer in _LAYERS]
        return VoteValue.BLOCKED if max(scores) > _BLOCKED_SCORE else VoteValue.GOOD
    if _is_true(fields.get("failure")) or _is_true(fields.get("msm_failure")):
        return VoteValue.UNKNOWN
    is_bad = _is_true(fields.get("anomaly")) or _is_true(fields.get("confirmed"))
    return VoteValue.BLOCKED if is_bad else VoteValue.GOOD


def _find_layer(fields: Fields) -> str:
    scores = {layer: as_number(fields.get(f"{layer}_blocked")) or 0.0 for layer in _LAYERS}
    layer = max(_LAYERS, key=scores.__getitem__)
    return layer if scores[layer] > _BLOCKED_SCORE else ""


def _is_true(value: object) -> bool:
    is_one = as_number(value) == 1  # data frames write flags as 1.0
    return value is True or is_one or str(value).lower() in _TRUE


def _read_count(fields: Fields, name: str) -> int:
    return max(0, int(as_number(fields.get(name)) or 0))


def _make_voter(marks: Iterable[object], place: VantageLocation) -> VantageRef:
    text = "\n".join(("ooni", *map(str, marks)))
    voter_id = hashlib.sha256(text.encode()).hexdigest()[:16]
    return VantageRef(voter_id, voter_id, place)
