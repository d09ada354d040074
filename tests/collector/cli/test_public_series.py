"""Two events of 2026 from their public descriptions, by `import` and `replay`.

Iran: IODA's series in half hours from 1 December; active probing falls from 16:30 on 8 January to
3 %, Google and the telescope two hours later, BGP by a tenth at most. Uganda: OONI's rows of one
network, with gaps of days, and a block of one service from 18 January 06:00.
"""

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from heliograph_collector import cli
from support.ooni import DCS, TIMEOUT, Json, connect, fetch, frame, no_rows, request

IRAN_BEGAN = datetime(2025, 12, 1, tzinfo=UTC)
IRAN_FELL = datetime(2026, 1, 8, 16, 30, tzinfo=UTC)
UGANDA_BEGAN = datetime(2025, 12, 28, tzinfo=UTC)
UGANDA_CUT = (datetime(2026, 1, 13, 15, tzinfo=UTC), datetime(2026, 1, 17, 22, tzinfo=UTC))
UGANDA_BLOCKED = datetime(2026, 1, 18, 6, tzinfo=UTC)
HALF_HOUR = timedelta(minutes=30)


def play(folder: Path, name: str, content: str, capsys: pytest.CaptureFixture[str]) -> list[Json]:
    source = folder / name
    source.write_text(content)
    signals = folder / "signals.jsonl"
    assert cli.main(["import", "series", str(source), "--signals", str(signals)]) == 0
    capsys.readouterr()
    assert cli.main(["replay", str(signals), "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def draw_iran(rng: Random) -> str:
    """Draw Iran's series by source.

    Each has (level, daily swing, noise, floor, hours from 16:30 to the floor).
    """
    shapes = {
        "ping-slash24": (40_000, 0.04, 0.01, 0.0335, 2.25),
        "bgp": (11_500, 0.0, 0.0005, 0.865, 4.0),
        "gtr": (900, 0.45, 0.05, 0.014, 2.25),
        "merit-nt": (300, 0.25, 0.12, 0.0, 2.25),  # never below a quarter in 38 days
    }
    signals = []
    for source, (level, swing, noise, floor, over_h) in shapes.items():
        values = []
        for step in range(2_000):
            at = IRAN_BEGAN + step * HALF_HOUR
            hours = (at - IRAN_FELL) / timedelta(hours=1) + 0.5
            share = 1 - (1 - floor) * min(1.0, max(0.0, hours / over_h)) ** 0.5
            day = 1 + swing * math.sin((step - 14) * math.tau / 48)
            values.append(round(max(0.0, level * share * day * (1 + rng.gauss(0, noise)))))
        signals.append(
            {"entityType": "country", "entityCode": "IR", "datasource": source, "values": values}
            | {"from": int(IRAN_BEGAN.timestamp()), "step": 1_800}
        )
    return json.dumps({"type": "signals", "requestParameters": {}, "data": [signals]})


@pytest.mark.long
@pytest.mark.parametrize("seed", [1])
def test_irans_fade_is_aimed_at_in_the_first_bin_that_shows_it(
    seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The best baseline has no false row in the 38 days before."""
    told = play(tmp_path, "ioda.json", draw_iran(Random(seed)), capsys)
    confirmed = [incident for incident in told if incident["confirmed"]]
    assert [(i["scope"]["country"], i["state"]) for i in confirmed] == [("IR", "confirmed")]
    first_end = (IRAN_FELL + HALF_HOUR).strftime("%Y-%m-%dT%H:%M")
    assert [str(i["suspected"])[:16] for i in told] == [first_end]
    assert "ping-slash24" in confirmed[0]["layer"]


def draw_uganda(rng: Random) -> Iterator[Json]:
    """Yield Uganda's rows: three an hour, in one hour of seven, more after the block."""
    for hour in range(24 * 30):
        at = UGANDA_BEGAN + timedelta(hours=hour)
        is_cut = UGANDA_CUT[0] <= at < UGANDA_CUT[1]
        is_blocked = at >= UGANDA_BLOCKED
        if is_cut or rng.random() > (0.8 if is_blocked else 0.14):
            continue
        for number in range(rng.choice((2, 3, 4))):
            works = rng.random() > (0.95 if is_blocked else 0.03)
            word = "ok" if works else TIMEOUT
            keys = no_rows()
            for address in DCS:
                keys["tcp_connect"].append(connect(f"{address}:443", word))
                answer = 501 if works else word
                keys["requests"].append(request(f"http://{address}:443/", answer))
            fetch(keys, "https://web.telegram.org/", "ok" if works else f"tcp {word}")
            moment = at + timedelta(minutes=rng.randrange(60))
            yield frame(
                "telegram",
                keys,
                probe_cc="UG",
                probe_asn="AS20294",
                report_id=f"{hour}-{number}",
                measurement_start_time=moment.strftime("%Y-%m-%d %H:%M:%S"),
            )


@pytest.mark.long
@pytest.mark.parametrize("seed", [1])
def test_ugandas_block_is_told_within_four_hours_of_a_few_rows_each(
    seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "\n".join(map(json.dumps, draw_uganda(Random(seed))))
    told = play(tmp_path, "ooni.jsonl", rows, capsys)
    confirmed = sorted(str(i["confirmed"]) for i in told if i["confirmed"])
    assert confirmed
    assert confirmed[0] >= UGANDA_BLOCKED.strftime("%Y-%m-%dT%H")
    assert confirmed[0] <= (UGANDA_BLOCKED + timedelta(hours=4, minutes=1)).strftime(
        "%Y-%m-%dT%H:%M"
    )
    assert {(i["scope"]["country"], i["layer"]) for i in told if i["confirmed"]} == {("UG", "tcp")}
