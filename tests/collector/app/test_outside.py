"""Outages reported by others: asked if configured, kept apart, shown with credit."""

from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from heliograph.units import DAY_US, SECOND_US
from heliograph_collector import cli
from heliograph_collector.app.outside import NotConfiguredError, fetch_outages
from heliograph_collector.config.settings import Config
from heliograph_collector.model.imported import ImportedFilter, ReportedOutage
from heliograph_collector.store.imported_results import FILE, ImportedResults
from support import source_servers as o
from support.past_days import JAN_1, feed_with_past
from support.site import open_site

START_S = JAN_1 // SECOND_US + 86_400


async def fetch(config: Config, days: int = 40) -> list[ReportedOutage]:
    pauses = o.Pauses()
    window = (JAN_1, JAN_1 + days * DAY_US)
    return await fetch_outages(
        config, "ioda", ("KZ", 0), window, clock=pauses.clock, rng=Random(1), pause=pauses
    )


async def test_a_source_that_is_off_is_not_asked() -> None:
    with pytest.raises(NotConfiguredError, match=r"corroborate\.sources"):
        await fetch(Config())


async def test_outages_are_fetched_kept_apart_and_shown_with_credit(tmp_path: Path) -> None:
    answers = {
        f"/v2/signals/raw/country/KZ?{name}": o.ioda("signals", [])
        for name in ("bgp", "ping-slash24", "merit-nt")
    }
    events = o.ioda("outages.events", [o.event("country/KZ", START_S, 7_200)])
    outside = o.Outside(answers | {"/v2/outages/events": events})
    async with outside.serve():
        outages = await fetch(
            Config(
                corroborate=("ioda",),
                ioda_url=f"{outside.url}/v2",
                source_private_hosts=("127.0.0.1",),
            )
        )
    assert len(outside.asked) == 8, "two windows, of three signals and the events"
    (outage,) = outages
    assert (outage.since_us, outage.until_us) == (
        START_S * SECOND_US,
        (START_S + 7_200) * SECOND_US,
    )
    feed = feed_with_past(tmp_path)
    window = (JAN_1, JAN_1 + 9 * DAY_US)
    with closing(ImportedResults(tmp_path / FILE)) as imported:
        imported.replace_outages("ioda", ("KZ", 0), window, [outage])
        imported.replace_outages("ioda", ("KZ", 0), window, [outage])
        january = ImportedFilter(since_us=JAN_1, until_us=JAN_1 + 31 * DAY_US, country="KZ")
        assert imported.read_history(january, 5).outages == [outage]
    async with open_site(feed) as site:
        html = await site.html("/countries/KZ?since=2022-01-01&until=2022-01-05")
        ours, others = html.split('id="others-title"')
        assert "Georgia" not in ours
        assert "1 outage reported" in others
        assert "2 Jan 00:00 to 2 Jan 02:00" in others
        assert "all rights reserved" in others
        assert 'href="https://ioda.inetintel.cc.gatech.edu/country/KZ"' in others
        status = await site.json("/api/v1/history?country=KZ&since=2022-01-01&until=2022-01-05")
        assert "ioda" not in str(status), "theirs are in no document of ours"


def test_the_command_lists_and_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data", str(tmp_path)]
    assert cli.main(["sources", "list", *data]) == 0
    assert "ioda     off (corroborate.sources)" in capsys.readouterr().out
    fetch_words = ["sources", "fetch", "ioda", "--country", "KZ", "--since"]
    assert cli.main([*fetch_words, "2022-01-01", *data]) == 1
    assert "name it in corroborate.sources" in capsys.readouterr().err
    assert cli.main([*fetch_words, "2022-01-05", "--until", "2022-01-01", *data]) == 1
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--country", "KAZ"], "'KAZ' is no country"),
        (["--country", "KZ", "--asn", "-1"], "'-1' must be a whole number"),
    ],
)
def test_no_source_is_asked_of_a_place_that_is_none(
    capsys: pytest.CaptureFixture[str], words: list[str], error: str
) -> None:
    with pytest.raises(SystemExit):
        cli.main(["sources", "fetch", "ioda", *words, "--since", "2022-01-01"])
    assert error in capsys.readouterr().err
