"""`replay` runs a file's signals through the detectors, and refuses bad lines."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from heliograph_collector import cli
from heliograph_collector.model.signals import (
    LIGHT_SOURCE,
    Fault,
    OfflineReport,
    VantageLoss,
    VantageSignal,
    sort_signals,
)
from heliograph_collector.sources.replay import Replay
from heliograph_collector.sources.signal_file import read_signals
from heliograph_collector.sources.signal_writer import write_signals
from support.presence_model import KZ, Cut, at, country, live, service_votes, world

Line = Mapping[str, object]
T0 = datetime(2026, 1, 1, tzinfo=UTC)


class Played(NamedTuple):
    code: int
    incidents: list[dict[str, object]]
    err: str


Play = Callable[[Sequence[Line] | str], Played]


@pytest.fixture
def play(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Play:
    def run(content: Sequence[Line] | str) -> Played:
        file = tmp_path / "signals.jsonl"
        lines = content if isinstance(content, str) else "\n".join(map(json.dumps, content))
        file.write_text(lines)
        code = cli.main(["replay", str(file), "--json"])
        captured = capsys.readouterr()
        return Played(code, [json.loads(line) for line in captured.out.splitlines()], captured.err)

    return run


def written(path: Path, signals: Sequence[VantageSignal]) -> str:
    made = Replay("made", 0, 0, 0, signals, (), (), ())
    with path.open("wb") as file:
        write_signals(made, file)
    return path.read_text()


def moment(hours: float) -> str:
    return (T0 + timedelta(hours=hours)).isoformat()


def levels(values: Sequence[float | None], **keys: object) -> list[Line]:
    return [
        {"kind": "level", "at": moment(i), "step_s": 3_600, "value": value}
        | {"country": "IR", "source": "ping-slash24", **keys}
        for i, value in enumerate(values)
    ]


def test_a_written_cut_comes_back_as_one_incident_with_brackets_and_delays(
    play: Play, tmp_path: Path
) -> None:
    signals = live([*country(), *world()], Random(1), 1.5, cuts=[Cut(1_800, 3_600, KZ)])
    (incident,) = play(written(tmp_path / "cut.jsonl", sort_signals(signals))).incidents
    assert (incident["kind"], incident["label"]) == ("network_silence", "national")
    assert incident["state"] == "closed"
    started = incident["started"]
    assert isinstance(started, dict)
    assert started["earliest"] <= "2022-01-01T00:30:00" <= started["latest"]
    delays = incident["delays"]
    assert isinstance(delays, dict)
    assert 0 < delays["suspected_s"] <= delays["confirmed_s"] < 120


def test_what_is_written_is_read_as_it_was(tmp_path: Path) -> None:
    signals = sort_signals(live(country(), Random(1), 0.5))
    losses = [s for s in signals if isinstance(s, VantageLoss)]
    signals[signals.index(losses[0])] = replace(losses[0], closed_us=losses[0].heard_us + 1)
    votes = service_votes(country()[:3], Random(1), 120, lambda *_: True)
    with (tmp_path / "all.jsonl").open("wb") as file:
        write_signals(Replay("all", 0, 0, 0, signals, votes, (), ()), file)
    content = read_signals(tmp_path / "all.jsonl")
    assert content.signals == signals
    assert [vote for _, vote in content.votes] == votes


VOTE = {"kind": "vote", "country": "UG", "asn": 20294, "access": "mobile", "service": "x.com"}


def test_a_block_told_by_two_tests_an_hour_is_found_within_four(play: Play) -> None:
    """A block with two tests an hour is found within four hours.

    So OONI's rows come: by volunteers' runs, hours apart, each by another voter.
    """
    rows = [
        VOTE
        | {"at": moment(hour + part), "vantage": f"{hour}-{part}", "layer": "tcp"}
        | {"value": "blocked" if hour >= 72 else "reachable"}
        for hour in range(96)
        for part in (0.2, 0.6)
    ]
    (incident,) = play(rows).incidents
    assert (incident["state"], incident["layer"]) == ("confirmed", "tcp")
    assert str(incident["confirmed"]) <= "2026-01-04T04:00:00.000000Z"


def test_a_block_told_by_a_row_an_hour_waits_for_five(play: Play) -> None:
    """A block with one row an hour waits for five rows.

    In twenty days of one row an hour by day, three hours never had five.
    """
    hours = [24 * day + hour for day in range(20) for hour in range(6, 22)]
    onset = 24 * 18 + 8
    rows = [
        VOTE
        | {"at": moment(hour + 0.5), "vantage": f"{hour}", "layer": "tcp"}
        | {"value": "blocked" if hour >= onset else "reachable"}
        for hour in hours
    ]
    (incident,) = play(rows).incidents
    assert incident["state"] == "confirmed"
    assert str(incident["confirmed"]) <= "2026-01-19T13:00:00.000000Z"


def test_a_network_in_which_all_rows_fail_has_no_onset(play: Play) -> None:
    rows = [
        VOTE
        | {"at": moment(hour + asn / 10), "asn": asn, "vantage": f"{hour}-{asn}"}
        | {"value": "blocked" if asn == 3 else "reachable"}
        for hour in range(240)
        for asn in (1, 2, 3)
    ]
    assert play(rows).incidents == []


def test_votes_have_the_edition_that_their_vantage_had_then(tmp_path: Path) -> None:
    known = {"kind": "arrival", "country": "UG", "vantage": "a"}
    silent = known | {"vantage": "b"}
    lines: list[Line] = [
        known | {"at": moment(0), "edition": "1"},
        known | {"at": moment(2), "edition": "2"},
        silent | {"at": moment(0)},
        {"kind": "goodbye", "vantage": "b", "at": moment(1.9)},
        silent | {"at": moment(2)},
        *(VOTE | {"at": moment(h), "vantage": v, "value": "down"} for v in "ab" for h in (1, 3)),
        VOTE | {"at": moment(4), "vantage": "a", "value": "down", "edition": "3"},
    ]
    (tmp_path / "editions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    votes = [vote for _, vote in read_signals(tmp_path / "editions.jsonl").votes]
    assert [vote.edition for vote in votes] == ["1", "2", "", "(restarted)", "3"]


def test_votes_that_came_hours_late_count_when_they_were_measured(
    play: Play, tmp_path: Path
) -> None:
    votes = service_votes(country(), Random(1), 3_600, lambda _, s: 900 <= s < 1_800, noise=0)
    replay = Replay("late", 0, 0, 0, (), [v for v in votes if KZ(v.witness)], (), ())
    with (tmp_path / "late.jsonl").open("wb") as file:
        write_signals(replay, file)
    lines = [json.loads(line) for line in (tmp_path / "late.jsonl").read_text().splitlines()]
    received = [line | {"received": "2022-01-01T04:00:00Z"} for line in lines]
    calm = [line | {"at": "2022-01-01T04:05:00Z", "value": "reachable"} for line in lines[:40]]
    (incident,) = play([*received, *calm]).incidents
    assert incident["state"] == "closed"
    assert "2022-01-01T00:1" <= str(incident["suspected"]) < "2022-01-01T00:2"


def test_a_fall_of_two_sources_is_one_incident(play: Play) -> None:
    well = [100.0] * 72
    fall = levels([*well, 40.0, 5.0]) + levels([*well, 95.0, 5.0], source="bgp")
    (incident,) = play(fall).incidents
    assert (incident["layer"], incident["confidence"]) == ("bgp,ping-slash24", 0.7)
    assert incident["confirmed"] == "2026-01-04T01:00:00.000000Z"  # the end of the first low step


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ({"kind": "goodbye", "at": 1, "vantage": "a", "rtt": 3}, "unknown field `rtt`"),
        ({"kind": "goodbye", "at": 1, "vantage": "a", "rtt": 3}, "keys of goodbye are at, vantage"),
        ({"kind": "pong", "at": 1}, "kind is one of arrival, goodbye"),
        ({"kind": "arrival", "at": "noon", "vantage": "a", "country": "KZ"}, "'noon' is no time"),
        ({"kind": "arrival", "at": 1, "vantage": "a", "country": "Iran"}, "not two capitals"),
        ({"kind": "loss", "at": 1, "vantage": "b"}, "arrival of 'b'; add it"),
        (
            {"kind": "vote", "at": 1, "vantage": "b", "service": "signal", "value": "blocked"},
            "the place of 'b'; name its country",
        ),
        ({**VOTE, "at": 1, "vantage": "a", "value": "slow"}, "`$.value`"),
        (levels([1.0], source="rtt_ms")[0], "'rtt_ms' is a time, whose fall is no outage"),
        (levels([-1.0])[0], "`$.value`"),
        ({"kind": "arrival", "at": 1, "vantage": "a" * 70_000}, "over 64 KiB"),
    ],
)
def test_a_bad_line_is_named_with_its_remedy_and_nothing_is_replayed(
    play: Play, line: Line, why: str
) -> None:
    played = play([*levels([100.0] * 48 + [0.0]), line])
    assert (played.code, played.incidents) == (1, [])
    assert "signals.jsonl:50: " in played.err
    assert why in played.err


ARRIVAL = {"kind": "arrival", "at": 60, "vantage": "a", "country": "KZ", "asn": 1}
LOSS = {"kind": "loss", "at": 90, "vantage": "a"}
REPORT = {"kind": "report", "at": 99, "vantage": "a", "since": 92, "until": 98, "alive": True}
FAULT = {"kind": "fault", "at": 90, "until": 120, "reason": "carrier"}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (FAULT | {"until": 80}, "until is before at"),
        (FAULT | {"country": "kz"}, "not two capitals"),
        (FAULT | {"reason": "transit"}, "reason is one of restart, takeover"),
        (ARRIVAL | {"access": "wifi"}, "access is one of mobile, fixed, hosting"),
        (
            {"kind": "vote", "at": 99, "vantage": "a", "asn": 2, "service": "x", "value": "down"},
            "asn 2 is not that of 'a', 1",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(play: Play, line: Line, why: str) -> None:
    played = play([ARRIVAL, line])
    assert (played.code, played.incidents) == (1, [])
    assert "signals.jsonl:2: " in played.err
    assert why in played.err


@pytest.mark.parametrize(
    "line",
    [
        LOSS | {"last_heard": 92, "closed": 95},  # of another clock than its time
        REPORT | {"since": 400, "until": 300},  # of an agent's clock, set in between
    ],
)
def test_times_of_other_clocks_are_no_reason_to_refuse(play: Play, line: Line) -> None:
    assert play([ARRIVAL, line]).code == 0


def test_a_fault_of_an_entrance_is_one_of_all_ways_to_it(tmp_path: Path) -> None:
    ways = [("h2", "east"), ("post", "east"), ("h2", "west")]
    lines: list[Line] = [
        ARRIVAL | {"vantage": "/".join(way), "transport": way[0], "entrance": way[1]}
        for way in ways
    ]
    report = REPORT | {"vantage": "post/east", "entrance": "west"}
    signals = tmp_path / "ways.jsonl"
    signals.write_text("\n".join(map(json.dumps, [FAULT | {"entrance": "east"}, *lines, report])))
    read = read_signals(signals).signals
    assert [s.carrier for s in read if isinstance(s, Fault)] == ["h2/east", "post/east"]
    assert [s.carrier for s in read if isinstance(s, OfflineReport)] == ["post/west"]


def test_a_country_is_told_by_lines_that_name_no_network(play: Play, tmp_path: Path) -> None:
    """A country is found from lines that name no network.

    They have the least keys that the manual allows; with one unknown network no country has two.
    """
    signals = live([*country(), *world()], Random(1), 1.5, cuts=[Cut(1_800, 3_600, KZ)])
    content = written(tmp_path / "least.jsonl", sort_signals(signals))
    least = ("kind", "at", "vantage", "country")
    lines = [
        {key: value for key, value in json.loads(line).items() if key in least}
        for line in content.splitlines()
    ]
    (incident,) = play(lines).incidents
    assert (incident["label"], incident["state"]) == ("national", "closed")


def test_checks_and_tests_out_of_turn_are_read_as_they_were_written(tmp_path: Path) -> None:
    light, early = (
        replace(vote, source=source, trigger=trigger)
        for vote, source, trigger in zip(
            service_votes(country()[:1], Random(1), 120, lambda *_: True),
            ("messenger" + LIGHT_SOURCE, "messenger"),
            ("", "early_run"),
            strict=False,
        )
    )
    with (tmp_path / "votes.jsonl").open("wb") as file:
        write_signals(Replay("votes", 0, 0, 0, (), [light, early], (), ()), file)
    assert [vote for _, vote in read_signals(tmp_path / "votes.jsonl").votes] == [light, early]
    assert b'"light":true' in (tmp_path / "votes.jsonl").read_bytes()


def test_time_goes_on_until_the_end_that_a_file_names(play: Play, tmp_path: Path) -> None:
    """A replay runs until the end that a file names, after its last line.

    The file stops with the cut's last loss; the detectors watch the cut after that.
    """
    signals = sort_signals(
        live([*country(), *world()], Random(1), 1.5, cuts=[Cut(1_800, 3_600, KZ)])
    )
    lines = [json.loads(line) for line in written(tmp_path / "cut.jsonl", signals).splitlines()]
    dark = [line for line in lines if line["at"] < "2022-01-01T00:30:40"]
    end = {"kind": "end", "at": "2022-01-01T00:30:45Z"}
    (early,) = play([*dark, end]).incidents
    (late,) = play([*dark, end | {"at": "2022-01-01T00:40:00Z"}]).incidents
    assert (early["state"], late["state"]) == ("suspected", "confirmed")


def test_a_silence_without_a_voice_is_a_gap_that_is_named(play: Play, tmp_path: Path) -> None:
    """Where nobody has a vote a silence is no incident, and no calm either: a gap that lasts."""
    newcomers = [replace(vantage, first_us=at(0)) for vantage in country()]
    cut = live([*newcomers, *world()], Random(1), 1.5, cuts=[Cut(1_800, 3_600, KZ)])
    played = play(written(tmp_path / "newcomers.jsonl", sort_signals(cut)))
    assert played.incidents == []
    (line,) = [line for line in played.err.splitlines() if line.startswith("KZ: not judged from ")]
    assert line.endswith(" UTC (too_few_vantages)")
    told = sort_signals(live([*country(), *world()], Random(1), 1.5))
    assert "KZ: not judged" not in play(written(tmp_path / "enough.jsonl", told)).err


def test_public_data_is_shown_the_way_that_makes_signals_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "public.csv"
    table.write_text("time,value\n" + "".join(f"{moment(h)},{90 + h}\n" for h in range(3)))
    assert cli.main(["replay", str(table)]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert f"import series {table} --signals" in said
    target = str(tmp_path / "nowhere" / "out.jsonl")
    assert cli.main(["import", "series", str(table), "--signals", target]) == 1
    assert "out.jsonl cannot be written" in capsys.readouterr().err
    target = str(tmp_path / "out.jsonl")
    command = ["import", "series", str(table), "--entity", "Iran", "--signals", target]
    assert cli.main(command) == 0
    assert {r.scope.country for r in read_signals(Path(target)).levels} == {"IR"}


def test_codes_and_milliseconds_are_refused_as_levels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "KZ.csv"
    target = str(tmp_path / "out.jsonl")
    for column, cells in (
        ("latency (ms)", "30 31"),
        ("response_code", "200 503"),
        ("a", "200 503"),
    ):
        rows = "\n".join(f"{moment(h)},{cell}" for h, cell in enumerate(cells.split()))
        table.write_text(f"time,{column}\n{rows}\n")
        assert cli.main(["import", "series", str(table), "--signals", target]) == 1
        assert "leave it out, and give a count" in capsys.readouterr().err
    table.write_text(f"time,google,delay\n{moment(0)},7,3\n{moment(1)},8,3\n")
    assert cli.main(["import", "series", str(table), "--signals", target]) == 1
    assert [r.source for r in read_signals(Path(target)).levels] == ["gtr", "gtr"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            [40.0] * 40 + [900.0] * 30,
            "KZ (probes): begins on 2026-01-01T00:00 at 4% of its best day",
        ),
        ([900.0] * 12, "KZ (probes): 12 values are too few to judge any."),
        ([900.0] * 40 + [40.0] * 30, ""),
        (([100.0] * 12 + [700.0] * 12) * 4, ""),  # it begins at midnight
    ],
)
def test_series_that_cannot_be_judged_from_its_beginning_is_named(
    play: Play, values: Sequence[float], said: str
) -> None:
    lines = [
        {
            "kind": "level",
            "at": (T0 + timedelta(hours=hour)).timestamp(),
            "step_s": 3600,
            "country": "KZ",
            "source": "probes",
            "value": value,
        }
        for hour, value in enumerate(values)
    ]
    assert play(lines).err.startswith(said) if said else play(lines).err == ""
