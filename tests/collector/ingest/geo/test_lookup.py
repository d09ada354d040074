"""Addresses to places: peers' spellings, our table, archives of `npm pack`."""

import io
import ipaddress
import random
import tarfile
from pathlib import Path

import pytest

from heliograph.units import DAY_US
from heliograph_collector.cli.geo import GeoDataError, install_archive
from heliograph_collector.ingest.geo.asn_table import AsnTable, write_table
from heliograph_collector.ingest.geo.lookup import (
    UNKNOWN_LOCATION,
    GeoError,
    GeoLookup,
    find_origin,
    parse_peer,
)
from heliograph_collector.ingest.geo.network_names import open_names

SECRET = b"s" * 32
IPV4 = [(0x01000000, 0x010000FF, 13335), (0x02480000, 0x0248FFFF, 29355)]
IPV6 = [(int(ipaddress.ip_address("2001:db8::")), int(ipaddress.ip_address("2001:db8:ffff::")), 7)]


def archive(path: Path, **members: bytes) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def rows(table: list[tuple[int, int, int]]) -> bytes:
    return "".join(f'{a},{b},{n},"Somebody, Inc."\n' for a, b, n in table).encode()


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.7:51234", "192.0.2.7"),
        ("ipv6:%5B2001:db8::1%5D:443", "2001:db8::1"),
        ("ipv6:[2001:db8::1]:443", "2001:db8::1"),
        ("ipv6:[::ffff:192.0.2.7]:443", "192.0.2.7"),
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::1%eth0", "2001:db8::1"),
        ("unix:", None),
        ("", None),
    ],
)
def test_parse_peer_reads_grpc_and_http_spellings(peer: str, address: str | None) -> None:
    found = parse_peer(peer)
    assert (None if found is None else str(found)) == address


PROXIES = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("2001:db8::/48")]


@pytest.mark.parametrize(
    ("way", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),  # no proxy at all
        ("198.51.100.1,192.0.2.7", "192.0.2.7"),  # a stranger's word is not taken
        ("198.51.100.1,ipv4:127.0.0.1:4000", "198.51.100.1"),
        ("198.51.100.1,ipv4:127.0.0.1:4000 ", "198.51.100.1"),
        ("6.6.6.6, 198.51.100.1,127.0.0.1", "198.51.100.1"),  # the last, never the first
        ("198.51.100.1, 2001:db8::5, 127.0.0.1", "198.51.100.1"),  # two proxies of ours
        ("198.51.100.1,rubbish,127.0.0.1", None),
        (",127.0.0.1", None),
        ("127.0.0.1", "127.0.0.1"),  # the proxy said nothing
        ("127.0.0.9,127.0.0.1", "127.0.0.9"),
        ("::ffff:198.51.100.1,127.0.0.1", "198.51.100.1"),
        (",".join(["198.51.100.1", *["127.0.0.1"] * 40]), None),  # looked through to a limit
        ("x" * 100_000 + ",127.0.0.1", None),
    ],
)
def test_find_origin_returns_last_untrusted_address(way: str, address: str | None) -> None:
    found = find_origin(way, PROXIES)
    assert (None if found is None else str(found)) == address


def test_table_holds_countries_as_two_letters(tmp_path: Path) -> None:
    ranges = [(0x01000000, 0x010000FF, int.from_bytes(b"KZ", "big")), (2**31, 2**32 - 1, 7)]
    write_table(tmp_path / "country.table", ranges, [])
    geo = GeoLookup(tmp_path / "country.mmdb", tmp_path / "a", SECRET)
    asked = ("1.0.0.9", "2.0.0.1", "250.0.0.1")
    assert [geo.locate(a, 0).country for a in asked] == ["KZ", "ZZ", "ZZ"]


def test_lookup_without_tables_knows_only_the_prefix(tmp_path: Path) -> None:
    geo = GeoLookup(tmp_path / "country.mmdb", tmp_path / "asn.mmdb", SECRET)
    assert geo.missing_tables == ["country", "asn"]
    place = geo.locate("192.0.2.7", 0)
    assert (place.country, place.asn, len(place.prefix)) == ("ZZ", 0, 16)
    assert geo.locate("nobody", 0) == UNKNOWN_LOCATION


def test_prefix_is_stable_for_a_network_and_day(tmp_path: Path) -> None:
    geo = GeoLookup(tmp_path / "c", tmp_path / "a", SECRET)

    def prefix(peer: str, at_us: int = 0) -> str:
        return geo.locate(peer, at_us).prefix

    assert prefix("192.0.2.7") == prefix("192.0.2.250")
    assert prefix("192.0.2.7") != prefix("192.0.3.7")
    assert prefix("2001:db8:1:2::3") == prefix("2001:db8:1:ffff::1")
    assert prefix("192.0.2.7") != prefix("192.0.2.7", DAY_US)
    other = GeoLookup(tmp_path / "c", tmp_path / "a", b"o" * 32)
    assert other.locate("192.0.2.7", 0).prefix != prefix("192.0.2.7")


def test_installed_networks_are_found(tmp_path: Path) -> None:
    members = {"asn-ipv4-num.csv": rows(IPV4), "asn-ipv6-num.csv": rows(IPV6)}
    said = install_archive(archive(tmp_path / "asn.tgz", **members), tmp_path / "geo")
    assert "3 ranges" in said
    geo = GeoLookup(tmp_path / "geo" / "country.mmdb", tmp_path / "geo" / "asn.mmdb", SECRET)
    asked = ("1.0.0.255", "1.0.1.0", "0.0.0.1", "2.72.9.9", "2001:db8::5", "2001:db9::")
    assert [geo.locate(a, 0).asn for a in asked] == [13335, 0, 0, 29355, 7, 0]


def test_table_answers_like_a_linear_search(tmp_path: Path) -> None:
    rng = random.Random(5)
    edges = sorted(rng.sample(range(2**32), 400))
    table = [(a, b - 1, n + 1) for n, (a, b) in enumerate(zip(edges[::2], edges[1::2]))]  # noqa: B905
    write_table(tmp_path / "t", table, [])
    found = AsnTable(tmp_path / "t")
    for value in [*edges, *(e - 1 for e in edges), *(rng.randrange(2**32) for _ in range(500))]:
        wanted = next((n for a, b, n in table if a <= value <= b), 0)
        assert found.get(str(ipaddress.IPv4Address(value % 2**32))) == wanted


def test_installed_names_are_found_by_number_and_by_text(tmp_path: Path) -> None:
    ipv4 = (
        b'1,2,9198,JSC Kazakhtelecom\n3,4,29355,"Kcell, ""K"" JSC"\n5,6,7,\n'
        b"7,8,9,\xe2\x80\xaeevil\n"
    )
    ipv6 = b"%d,%d,58224,Stra\xc3\x9fe TCI\n" % (1 << 64, 2 << 64)
    archive(tmp_path / "a.tgz", **{"asn-ipv4-num.csv": ipv4, "asn-ipv6-num.csv": ipv6})
    assert "4 names" in install_archive(tmp_path / "a.tgz", tmp_path)
    names = open_names(tmp_path / "asn.names")
    told = [names.name_network(n) for n in (9, 9198, 29355, 58224, 7, 0, 2**32 - 1)]
    assert told == ["evil", "JSC Kazakhtelecom", 'Kcell, "K" JSC', "Stra\xdfe TCI", "", "", ""]
    assert names.find_networks("JSC", 9) == [9198, 29355], "beginnings lead"
    assert names.find_networks("strasse", 9) == names.find_networks("TCI", 9) == [58224]
    assert names.find_networks("jsc", 1) == [9198]
    assert names.find_networks("", 9) == names.find_networks("zzz", 9) == []


@pytest.mark.parametrize("content", [None, b"", b"x\ty\n", b"99999999999\ty\n", b"\xff\n"])
def test_missing_or_damaged_names_are_none(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "n").write_bytes(content)
    names = open_names(tmp_path / "n")
    assert (names.name_network(1), names.find_networks("y", 1)) == ("", [])


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"README.md": b"hello"}, "holds neither a country nor an ASN table"),
        *(
            ({"asn-ipv4-num.csv": damaged, "asn-ipv6-num.csv": b""}, "is damaged")
            for damaged in (b"9,5,1\n", b"a,b\n", b"1,2\n", b"1,99999999999,3\n")
        ),
        (
            {},
            r"cannot be read as a \.tgz archive \(not a gzip file\): name one that `npm pack` made",
        ),
    ],
)
def test_install_refuses_useless_archive(
    tmp_path: Path, members: dict[str, bytes], says: str
) -> None:
    if members:
        archive(tmp_path / "x.tgz", **members)
    else:
        (tmp_path / "x.tgz").write_bytes(b"not gzip")
    with pytest.raises(GeoDataError, match=says):
        install_archive(tmp_path / "x.tgz", tmp_path / "geo")


@pytest.mark.parametrize("name", ["country.mmdb", "asn.table"])
def test_damaged_table_raises(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x" * 64)
    with pytest.raises(GeoError, match="geo install"):
        GeoLookup(tmp_path / "country.mmdb", tmp_path / "asn.mmdb", SECRET)
