"""Made-up addresses, and the tables by which a collector locates them."""

from collections import Counter
from pathlib import Path

import pytest

from heliograph_collector.ingest.geo.lookup import GeoLookup
from heliograph_lab.simulate import Actor
from heliograph_lab.simulate.addresses import assign_addresses, write_tables

NETWORKS = [
    *[("KZ", 9198, f"home-{i}") for i in range(40)],
    *[("KZ", 29355, "")] * 20,
    *[("DE", 3320, "office")] * 300,
    *[("FR", 0, f"f{i}") for i in range(3)],
]
ACTORS = [
    Actor(number, country, asn=asn, network=network)
    for number, (country, asn, network) in enumerate(NETWORKS)
]


def test_collector_locates_every_actor_as_the_script_does(tmp_path: Path) -> None:
    write_tables(ACTORS, tmp_path)
    geo = GeoLookup(tmp_path / "country.mmdb", tmp_path / "asn.mmdb", b"s" * 32)
    addresses = assign_addresses(ACTORS)
    assert all(address.startswith("240.") for address in addresses.values()), "reserved"
    places = [geo.locate(addresses[actor.number], 0) for actor in ACTORS]
    assert [(p.country, p.asn) for p in places] == [(a.country, a.asn) for a in ACTORS]
    prefixes = Counter(country for country, _ in {(p.country, p.prefix) for p in places})
    assert prefixes == {"KZ": 60, "DE": 1, "FR": 3}, "those without a network share none"


def test_more_networks_than_addresses_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heliograph_lab.simulate.addresses.MAX_BLOCKS", 10)
    with pytest.raises(ValueError, match="more than there are"):
        assign_addresses(ACTORS)
