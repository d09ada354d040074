"""OONI's measurements as votes, by bins of an hour, with the baseline beside."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliograph_collector.app.commands import load_event
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.seniority import Seniority, find_seniority
from heliograph_collector.model.signals import VoteValue
from heliograph_collector.sources.complaints import ImportRefusedError
from heliograph_lab.evaluate.baselines.ooni import ooni
from heliograph_lab.evaluate.detectors import detect_hourly
from support.ooni import DCS, TIMEOUT, Json, connect, fetch, frame, no_rows, request


def telegram(works: bool, **base: object) -> Json:
    """Data centres and the web front, all of them well or all timed out."""
    word, keys = "ok" if works else TIMEOUT, no_rows()
    for address in DCS:
        for port in (80, 443):
            keys["tcp_connect"].append(connect(f"{address}:{port}", word))
            keys["requests"].append(request(f"http://{address}:{port}/", 501 if works else word))
    fetch(keys, "https://web.telegram.org/", "ok" if works else f"tcp {word}")
    return frame("telegram", keys, **base)


def runs(country: str, asn: int, hours: range, blocked_from: int, each: int = 6) -> Iterator[Json]:
    for hour in hours:
        for number in range(each):
            day, of = divmod(hour, 24)
            yield telegram(
                hour < blocked_from,
                probe_cc=country,
                probe_asn=f"AS{asn}",
                report_id=f"{country}-{asn}-{hour}-{number}",
                measurement_start_time=f"2024-02-{10 + day} {of:02}:{number * 9:02}:30",
            )


def write(folder: Path, documents: Iterator[Json]) -> Path:
    path = folder / "measurements.jsonl"
    path.write_text("\n".join(map(json.dumps, documents)) + "\n")
    return path


def test_each_run_is_one_established_voter(tmp_path: Path) -> None:
    made = load_event(write(tmp_path, runs("UG", 20294, range(2), 1, each=2)))
    assert made.format == "ooni"
    said = [(o.service, o.standing, o.witness.place.country) for o in made.replay.opinions]
    values = [VoteValue.GOOD] * 2 + [VoteValue.BLOCKED] * 2
    assert said == [("telegram", value, "UG") for value in values]
    assert len(made.replay.vantages) == 4
    ages = {find_seniority(o.witness.first_us, o.at_us) for o in made.replay.opinions}
    assert ages == {Seniority.ESTABLISHED}
    assert made.replay.opinions[0].layer == ""
    assert made.replay.opinions[-1].layer == "tcp"


def test_a_block_is_found_by_the_hour_and_much_later_by_the_baseline(tmp_path: Path) -> None:
    def both() -> Iterator[Json]:
        yield from runs("UG", 20294, range(24), 16, each=3)
        yield from runs("IT", 137, range(24), 99, each=1)

    made = load_event(write(tmp_path, both())).replay
    confirmed = [a for a in detect_hourly(made) if a.confirmed]
    assert [(a.scope.country, a.service, a.layer) for a in confirmed] == [("UG", "telegram", "tcp")]
    hour_us = 3_600_000_000
    begin_us = made.since_us // hour_us * hour_us + 16 * hour_us
    assert confirmed[0].at_us <= begin_us + 3 * hour_us
    (late,) = ooni(made)
    assert late.scope == Scope("UG", asn=20294)
    assert late.at_us == begin_us + 6 * hour_us + hour_us // 2


def test_a_page_is_a_service_by_its_host(tmp_path: Path) -> None:
    row = frame("web_connectivity", {"queries": []}, input="https://example.org/a?b")
    made = load_event(write(tmp_path, iter([row])))
    assert [o.service for o in made.replay.opinions] == ["example.org"]


def test_what_cannot_be_read_gets_a_sentence_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = write(tmp_path, runs("UG", 20294, range(1), 1, each=1))
    with path.open("a") as file:
        file.write('{"test_name": "what", "test_keys": {}}\nbroken\n')
        file.write(json.dumps(telegram(True, probe_cc="ZZ")) + "\n")
        file.write(json.dumps(telegram(True, measurement_start_time="", test_start_time="")) + "\n")
    made = load_event(path)
    assert len(made.replay.opinions) == 1
    assert [said.partition(": ")[2] for said in made.complaints] == [
        "the test 'what' is not known here.",
        "this is not JSON (Expecting value: line 1 column 1 (char 0)).",
        "it names no country or no time, so it has no vote.",
        "it names no country or no time, so it has no vote.",
    ]


def test_nothing_that_votes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportRefusedError, match="holds no measurement"):
        load_event(write(tmp_path, iter([telegram(True, probe_cc="ZZ")])))
