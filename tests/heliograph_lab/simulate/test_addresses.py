"""Made-up addresses, and the tables by which a collector locates them."""

from pathlib import Path

import pytest

from heliograph_collector.ingest.geo.lookup import GeoLookup
from heliograph_lab.simulate import Actor
from heliograph_lab.simulate.addresses import assign_addresses, write_tables


def many_actors() -> list[Actor]:
    return [
        Actor(number, country, asn=asn, network=network)
        for number, (country, asn, network) in enumerate(
            [
                *[("KZ", 9198, f"home-{i}") for i in range(40)],
                *[("KZ", 29355, "") for _ in range(20)],
                *[("DE", 3320, "office") for _ in range(300)],
                *[("FR", 0, f"f{i}") for i in range(3)],
            ]
        )
    ]


def test_collector_locates_every_actor_as_the_script_does(tmp_path: Path) -> None:
    actors = many_actors()
    write_tables(actors, tmp_path)
    geo = GeoLookup(tmp_path / "country.mmdb", tmp_path / "asn.mmdb", b"s" * 32)
    places = {a.number: geo.locate(assign_addresses(actors)[a.number], 0) for a in actors}
    for actor in actors:
        assert (places[actor.number].country, places[actor.number].asn) == (
            actor.country,
            actor.asn,
        )
    prefixes = {
        country: {places[a.number].prefix for a in actors if a.country == country}
        for country in ("KZ", "DE", "FR")
    }
    assert {country: len(prefix_set) for country, prefix_set in prefixes.items()} == {
        "KZ": 60,  # those without a network share none
        "DE": 1,
        "FR": 3,
    }


def test_addresses_are_from_the_reserved_range() -> None:
    assert all(address.startswith("240.") for address in assign_addresses(many_actors()).values())


def test_more_networks_than_addresses_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heliograph_lab.simulate.addresses.MAX_BLOCKS", 10)
    with pytest.raises(ValueError, match="more than there are"):
        assign_addresses(many_actors())
