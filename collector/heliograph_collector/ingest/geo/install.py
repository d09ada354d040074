"""Installs open geo data from the archives that `npm pack` fetched: nothing is downloaded here."""

import csv
import io
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from heliograph_collector.ingest.geo.asn_table import Range, write_table

MAX_MEMBER = 256 * 1_048_576
CREDIT = "IP to network: DB-IP.com, routeviews.org and nro.net (CC BY 4.0). IP to country: CC0."
PACKAGES = "@ip-location-db/geo-whois-asn-country-mmdb and @ip-location-db/asn"


class GeoDataError(Exception):
    """An archive that holds nothing of use; the text is a sentence."""


def install(archive: Path, folder: Path) -> str:
    """Put what `archive` holds into `folder`; returns a sentence about it. Raises GeoDataError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with tarfile.open(archive, "r:gz") as tar:
            members = {Path(m.name).name: m for m in tar if m.isfile() and m.size <= MAX_MEMBER}
            return _install(tar, members, folder, archive)
    except (OSError, tarfile.TarError, EOFError, zlib.error) as error:
        raise GeoDataError(f"{archive} cannot be read as a .tgz archive: {error}.") from error
    except (ValueError, IndexError, OverflowError, csv.Error) as error:
        raise GeoDataError(f"{archive} is damaged: {error}.") from error


def _install(
    tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo], folder: Path, archive: Path
) -> str:
    both = next((n for n in members if n.endswith("country.mmdb")), None)
    if both is not None:
        _replace(folder / "country.mmdb", _stream(tar, members[both]).read())
        return f"Country table installed from {both}."
    if "asn-ipv4-num.csv" not in members or "asn-ipv6-num.csv" not in members:
        raise GeoDataError(f"{archive} holds neither a country nor an ASN table; take {PACKAGES}.")
    new = folder / ".asn.table.new"
    rows = write_table(
        new,
        _ranges(_stream(tar, members["asn-ipv4-num.csv"])),
        _ranges(_stream(tar, members["asn-ipv6-num.csv"])),
    )
    new.replace(folder / "asn.table")
    return f"ASN table installed, {rows} ranges."


def _stream(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    stream = tar.extractfile(member)
    if stream is None:
        raise GeoDataError(f"{member.name} in the archive is not a file.")
    return stream


def _ranges(stream: IO[bytes]) -> Iterator[Range]:
    with io.TextIOWrapper(stream, encoding="utf-8", newline="") as text:
        for row in csv.reader(text):
            yield int(row[0]), int(row[1]), int(row[2])


def _replace(file: Path, content: bytes) -> None:
    new = file.with_name(f".{file.name}.new")
    new.write_bytes(content)
    new.replace(file)
