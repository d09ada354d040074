"""Fingerprint lists of a data directory, and those of earlier versions.

Earlier versions kept lists as plain files in DATA/fingerprints. They are signed once, at the first
start; a file that appears there later is not used.
"""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from heliograph.clock import Clock
from heliograph_collector.config.settings import Config
from heliograph_collector.fleet import Fleet, Keyring, KeysError, open_keyring
from heliograph_collector.fleet.signed_lists import (
    NamedList,
    SignedLists,
    has_own_bundle,
    issue_bundle,
)
from heliograph_collector.fleet.trust_chain import ensure_charter
from heliograph_collector.judge.fingerprints.library import list_files
from heliograph_collector.judge.fingerprints.list_reader import MAX_BYTES as MAX_LIST_BYTES
from heliograph_collector.judge.fingerprints.list_reader import FingerprintError
from heliograph_collector.judge.fingerprints.list_summary import check_list

DIRECTORY = "fingerprints"  # below DATA, of earlier versions

log = logging.getLogger("heliograph.lists")


def open_lists(config: Config, clock: Clock) -> SignedLists:
    """Open the lists of a data directory, and sign those of an earlier version first."""
    if list_files(config.data / DIRECTORY) and (config.data / "fleet.db").exists():
        with open_signing_fleet(config, clock) as (fleet, keyring):
            adopt_plain_lists(config.data, fleet, keyring, clock)
    return SignedLists(config.data)


def adopt_plain_lists(data: Path, fleet: Fleet, keyring: Keyring, clock: Clock) -> None:
    """Sign the plain files of an earlier version, once; later ones are named and not used."""
    files = list_files(data / DIRECTORY)
    if has_own_bundle(fleet):
        for file in files:
            log.error("%s is not signed and not used: say `fingerprints import` of it.", file)
        return
    adopted = []
    for file in files:
        try:
            content = read_list(file, MAX_LIST_BYTES)
            check_list(file.name, content)
            adopted.append((file, NamedList(file.name, content)))
        except (FingerprintError, OSError) as error:
            log.error("A list of fingerprints is left out: %s", error)
    issue_bundle(fleet, keyring.signing, [n for _, n in adopted], clock.wall_us() // 1_000_000)
    for file, _ in adopted:
        file.unlink(missing_ok=True)


@contextmanager
def open_signing_fleet(config: Config, clock: Clock) -> Iterator[tuple[Fleet, Keyring]]:
    """Open the registry and the keys that sign, with a charter that names them."""
    with closing(Fleet(config.data)) as fleet:
        keyring = open_keyring(config.data, [])
        charter = ensure_charter(fleet, config.data, keyring, clock.wall_us() // 1_000_000)
        if keyring.signing.public not in charter.plan.keys:
            raise KeysError("The key that signs plans and lists was replaced: restart `serve`.")
        yield fleet, keyring


def read_list(path: Path, limit: int) -> bytes:
    """Read at most one byte beyond the limit, which shows that a file is too long."""
    with path.open("rb") as file:
        return file.read(limit + 1)
