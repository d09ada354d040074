"""Lists as plain files, which are signed here before they are used.

Earlier versions kept lists as plain files in DATA/fingerprints. They are signed once, at the first
start; a file that appears there later is not used.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol

from heliograph.clock import Clock
from heliograph_collector.fleet.keyring import Keyring, KeysError, open_keyring
from heliograph_collector.fleet.registry import Fleet
from heliograph_collector.fleet.signed_lists import (
    MAX_BYTES,
    NamedList,
    SignedLists,
    has_own_bundle,
    issue_bundle,
)
from heliograph_collector.fleet.trust_chain import ensure_charter

DIRECTORY = "fingerprints"  # below DATA, of earlier versions

log = logging.getLogger("heliograph.lists")


class ListFormat(Protocol):
    """Recognizes files of lists, and checks that they can be used."""

    def list_files(self, directory: Path) -> Sequence[Path]:
        """List the files of lists in a directory, sorted by name."""
        ...

    def check(self, name: str, content: bytes) -> None:
        """Check that a list and its name are usable. Raises ValueError."""
        ...


def open_lists(data: Path, clock: Clock, list_format: ListFormat) -> SignedLists:
    """Open the lists of a data directory, and sign those of an earlier version first."""
    if list_format.list_files(data / DIRECTORY) and (data / "fleet.db").exists():
        with open_signing_fleet(data, clock, list_format):
            pass
    return SignedLists(data)


@contextmanager
def open_signing_fleet(
    data: Path, clock: Clock, list_format: ListFormat
) -> Iterator[tuple[Fleet, Keyring]]:
    """Open the registry and the signing keys; the charter and all lists are signed."""
    with closing(Fleet(data)) as fleet:
        keyring = open_keyring(data, [])
        charter = ensure_charter(fleet, data, keyring, clock.wall_us() // 1_000_000)
        if keyring.signing.public not in charter.plan.keys:
            raise KeysError("The key that signs plans and lists was replaced: restart `serve`.")
        adopt_plain_lists(data, fleet, keyring, clock, list_format)
        yield fleet, keyring


def adopt_plain_lists(
    data: Path, fleet: Fleet, keyring: Keyring, clock: Clock, list_format: ListFormat
) -> None:
    """Sign the plain files of an earlier version, once.

    Later ones are logged and not used.
    """
    files = list_format.list_files(data / DIRECTORY)
    if has_own_bundle(fleet):
        for file in files:
            log.error("%s is not signed and not used: say `fingerprints import` of it.", file)
        return
    adopted = []
    for file in files:
        try:
            content = read_list(file)
            list_format.check(file.name, content)
            adopted.append((file, NamedList(file.name, content)))
        except (ValueError, OSError) as error:
            log.error("A list of fingerprints is left out: %s", error)
    issue_bundle(fleet, keyring.signing, [n for _, n in adopted], clock.wall_us() // 1_000_000)
    for file, _ in adopted:
        file.unlink(missing_ok=True)


def read_list(path: Path) -> bytes:
    """Read at most one byte beyond a bundle's limit, to detect too long a file."""
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)
