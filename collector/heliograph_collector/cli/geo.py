"""Command `heliograph-collector geo install`: install country and ASN tables."""

import argparse
import csv
import io
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from heliograph.durable_file import replace_file
from heliograph_collector.cli import CommandError, add_command, add_common_options, load_cli_config
from heliograph_collector.ingest.geo.asn_table import AsnRange, write_table
from heliograph_collector.ingest.geo.network_names import write_names

MAX_MEMBER_BYTES = 256 * 1_048_576
CREDIT = "IP to network: DB-IP.com, routeviews.org and nro.net (CC BY 4.0). IP to country: CC0."
PACKAGES = "@ip-location-db/geo-whois-asn-country-mmdb and @ip-location-db/asn"


class GeoDataError(Exception):
    """Error for an archive without usable tables; the message is a sentence."""


def install_archive(archive: Path, folder: Path) -> str:
    """Install an archive into `folder` and describe it. Raises GeoDataError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with tarfile.open(archive, "r:gz") as tar:
            members = {
                Path(m.name).name: m for m in tar if m.isfile() and m.size <= MAX_MEMBER_BYTES
            }
            return _install_members(tar, members, folder, archive)
    except (OSError, tarfile.TarError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise GeoDataError(
            f"{archive} cannot be read as a .tgz archive ({reason}): name one that `npm pack` made."
        ) from error
    except (ValueError, IndexError, OverflowError, csv.Error) as error:
        raise GeoDataError(f"{archive} is damaged: {error}.") from error


def _install_members(
    tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo], folder: Path, archive: Path
) -> str:
    country_name = next((n for n in members if n.endswith("country.mmdb")), None)
    if country_name is not None:
        replace_file(folder / "country.mmdb", _open_member(tar, members[country_name]).read())
        return f"Country table installed from {country_name}."
    if "asn-ipv4-num.csv" not in members or "asn-ipv6-num.csv" not in members:
        raise GeoDataError(f"{archive} holds neither a country nor an ASN table; take {PACKAGES}.")
    names: dict[int, str] = {}
    new_file = folder / ".asn.table.new"
    range_count = write_table(
        new_file,
        _read_ranges(_open_member(tar, members["asn-ipv4-num.csv"]), names),
        _read_ranges(_open_member(tar, members["asn-ipv6-num.csv"]), names),
    )
    write_names(folder / "asn.names", names)
    new_file.replace(folder / "asn.table")
    return f"ASN table installed, {range_count} ranges, {len(names)} names."


def _open_member(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    stream = tar.extractfile(member)
    if stream is None:
        raise GeoDataError(f"{member.name} in the archive is not a file.")
    return stream


def _read_ranges(stream: IO[bytes], names: dict[int, str]) -> Iterator[AsnRange]:
    """Read ranges, and add the names of their operators to `names`."""
    with io.TextIOWrapper(stream, encoding="utf-8", newline="") as lines:
        for row in csv.reader(lines):
            asn = int(row[2])
            if len(row) > 3 and row[3]:
                names[asn] = row[3]
            yield int(row[0]), int(row[1]), asn


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = add_command(
        commands,
        "geo",
        "install country and network tables",
        "geo install ip-location-db-*.tgz",
        description="Installs open tables from the archives that `npm pack` fetches.",
    )
    actions = command.add_subparsers(dest="action", metavar="install", required=True)
    install_parser = add_command(
        actions, "install", "install from archives", "geo install ip-location-db-*.tgz"
    )
    install_parser.add_argument("packages", nargs="+", metavar="PACKAGE.tgz", type=Path)
    add_common_options(install_parser)


def run(args: argparse.Namespace) -> int:
    folder = load_cli_config(args).data / "geo"
    for package in args.packages:
        try:
            print(install_archive(package, folder))
        except GeoDataError as error:
            raise CommandError(str(error)) from error
    print(f"A running collector reads them at its next start. Credit to show: {CREDIT}")
    return 0
