"""Import, export and removal of fingerprint lists, each change signed as the next version.

Earlier versions kept lists as plain files in DATA/fingerprints. They are signed once, at the first
start; a file that appears there later is not used.
"""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from heliograph.clock import Clock
from heliograph.durable_file import replace_file
from heliograph_collector.config.settings import Config
from heliograph_collector.fleet import Fleet, Keyring, KeysError, open_keyring
from heliograph_collector.fleet.signed_lists import (
    MAX_BYTES,
    ListsError,
    NamedList,
    SignedLists,
    accept_bundle,
    export_bundle,
    has_own_bundle,
    is_signed_bundle,
    issue_bundle,
    load_own_lists,
    parse_signed_bundle,
    remove_publisher,
)
from heliograph_collector.fleet.trust_chain import ensure_charter
from heliograph_collector.judge.fingerprints.library import MAX_LISTS, list_files
from heliograph_collector.judge.fingerprints.list_reader import MAX_BYTES as MAX_LIST_BYTES
from heliograph_collector.judge.fingerprints.list_reader import FingerprintError
from heliograph_collector.judge.fingerprints.list_summary import (
    ListSummary,
    check_list,
    summarize_list,
    summarize_shipped,
)

DIRECTORY = "fingerprints"  # below DATA, of earlier versions

log = logging.getLogger("heliograph.lists")


def open_lists(config: Config, clock: Clock) -> SignedLists:
    """Open the lists of a data directory, and sign those of an earlier version first."""
    if list_files(config.data / DIRECTORY) and (config.data / "fleet.db").exists():
        with _open_fleet(config, clock) as (fleet, keyring):
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
            content = _read_file(file, MAX_LIST_BYTES)
            check_list(file.name, content)
            adopted.append((file, NamedList(file.name, content)))
        except (FingerprintError, OSError) as error:
            log.error("A list of fingerprints is left out: %s", error)
    issue_bundle(fleet, keyring.signing, [n for _, n in adopted], clock.wall_us() // 1_000_000)
    for file, _ in adopted:
        file.unlink(missing_ok=True)


def import_lists(
    config: Config, clock: Clock, path: Path, *, name: str = "", publisher: str = ""
) -> list[ListSummary]:
    """Import a plain list, which is signed here, or a bundle that its publisher signed.

    Raises:
        FingerprintError, ListsError: Nothing changed; the message names the place and the cure.
        OSError: The file cannot be read.
    """
    content = _read_file(path, MAX_BYTES)
    with _open_fleet(config, clock) as (fleet, keyring):
        adopt_plain_lists(config.data, fleet, keyring, clock)
        now_s = clock.wall_us() // 1_000_000
        if is_signed_bundle(content):
            return _import_bundle(fleet, content, publisher, now_s)
        list_name = f"{name}{path.suffix}" if name else path.name
        check_list(list_name, content)
        own_lists = load_own_lists(fleet)
        # the same list in another format is replaced too
        kept = [n for n in own_lists if Path(n.name).stem != Path(list_name).stem]
        if len(kept) >= MAX_LISTS:
            raise ListsError(f"There are {MAX_LISTS} lists already: remove one.")
        bundle = issue_bundle(fleet, keyring.signing, [*kept, NamedList(list_name, content)], now_s)
        return [summarize_list(list_name, content, bundle=bundle.version, issued_s=bundle.issued_s)]


def _import_bundle(fleet: Fleet, content: bytes, publisher: str, now_s: int) -> list[ListSummary]:
    stored = accept_bundle(fleet, parse_signed_bundle(content), publisher, now_s, check_list)
    return [
        summarize_list(
            f"{stored.publisher[:8]}/{named.name}",
            named.content,
            publisher=stored.publisher,
            bundle=stored.bundle.version,
            issued_s=stored.bundle.issued_s,
        )
        for named in stored.bundle.lists
    ]


def export_lists(config: Config, clock: Clock, path: Path) -> str:
    """Write the own lists, signed, for other collectors; return the publisher to compare.

    Raises ListsError, OSError.
    """
    with _open_fleet(config, clock) as (fleet, keyring):
        adopt_plain_lists(config.data, fleet, keyring, clock)
        content = export_bundle(fleet, keyring.signing, clock.wall_us() // 1_000_000)
    replace_file(path, content, mode=0o644)
    return parse_signed_bundle(content).publisher


def remove_lists(config: Config, clock: Clock, name: str) -> None:
    """Take back an own list, or all lists of a publisher. Raises ListsError."""
    with _open_fleet(config, clock) as (fleet, keyring):
        adopt_plain_lists(config.data, fleet, keyring, clock)
        own_lists = load_own_lists(fleet)
        kept = [n for n in own_lists if n.name != name]
        if len(kept) < len(own_lists):
            issue_bundle(fleet, keyring.signing, kept, clock.wall_us() // 1_000_000)
        elif not remove_publisher(fleet, name):
            raise ListsError(f"{name!r} is no own list and no publisher: see `fingerprints list`.")


def summarize_lists(config: Config, clock: Clock) -> list[ListSummary]:
    """Summarize shipped and imported lists. Raises FingerprintError, OSError."""
    imported = [
        summarize_list(
            f"{stored.publisher[:8]}/{named.name}" if stored.publisher else named.name,
            named.content,
            publisher=stored.publisher,
            bundle=stored.bundle.version,
            issued_s=stored.bundle.issued_s,
        )
        for stored in open_lists(config, clock).read_bundles()
        for named in stored.bundle.lists
    ]
    return [*summarize_shipped(), *imported]


@contextmanager
def _open_fleet(config: Config, clock: Clock) -> Iterator[tuple[Fleet, Keyring]]:
    """Open the registry and the keys that sign, with a charter that names them."""
    with closing(Fleet(config.data)) as fleet:
        keyring = open_keyring(config.data, [])
        charter = ensure_charter(fleet, config.data, keyring, clock.wall_us() // 1_000_000)
        if keyring.signing.public not in charter.plan.keys:
            raise KeysError("The key that signs plans and lists was replaced: restart `serve`.")
        yield fleet, keyring


def _read_file(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        return file.read(limit + 1)
