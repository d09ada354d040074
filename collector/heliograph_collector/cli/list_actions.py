"""Import, export and remove fingerprint lists; each change signs the next version."""

from pathlib import Path

from heliograph.clock import Clock
from heliograph.durable_file import replace_file
from heliograph_collector.config.settings import Config
from heliograph_collector.fleet import Fleet
from heliograph_collector.fleet.plain_lists import open_lists, open_signing_fleet, read_list
from heliograph_collector.fleet.signed_lists import (
    ListsError,
    NamedList,
    accept_bundle,
    export_bundle,
    is_signed_bundle,
    issue_bundle,
    load_own_lists,
    parse_signed_bundle,
    remove_publisher,
)
from heliograph_collector.judge.fingerprints.library import MAX_LISTS
from heliograph_collector.judge.fingerprints.list_summary import (
    ListSummary,
    PlainFormat,
    summarize_list,
    summarize_shipped,
)


def import_lists(
    config: Config, clock: Clock, path: Path, *, name: str = "", publisher: str
) -> list[ListSummary]:
    """Import a plain list, which is signed here, or a publisher's signed bundle.

    Raises:
        FingerprintError, ListsError: Nothing changed; the message names the place and the cure.
        OSError: The file cannot be read.
    """
    content = read_list(path)
    with open_signing_fleet(config.data, clock, PlainFormat()) as (fleet, keyring):
        now_s = clock.wall_us() // 1_000_000
        if is_signed_bundle(content):
            return _import_bundle(fleet, content, publisher, now_s)
        list_name = f"{name}{path.suffix}" if name else path.name
        PlainFormat().check(list_name, content)
        own_lists = load_own_lists(fleet)
        # the same list in another format is replaced too
        kept = [n for n in own_lists if Path(n.name).stem != Path(list_name).stem]
        if len(kept) >= MAX_LISTS:
            raise ListsError(f"There are {MAX_LISTS} lists already: remove one.")
        bundle = issue_bundle(fleet, keyring.signing, [*kept, NamedList(list_name, content)], now_s)
        return [summarize_list(list_name, content, bundle=bundle.version, issued_s=bundle.issued_s)]


def _import_bundle(fleet: Fleet, content: bytes, publisher: str, now_s: int) -> list[ListSummary]:
    stored = accept_bundle(
        fleet, parse_signed_bundle(content), publisher, now_s, PlainFormat().check
    )
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
    """Export our own lists, signed, for other collectors; return our publisher's name.

    Readers compare the name. Raises ListsError, OSError.
    """
    with open_signing_fleet(config.data, clock, PlainFormat()) as (fleet, keyring):
        content = export_bundle(fleet, keyring.signing, clock.wall_us() // 1_000_000)
    replace_file(path, content, mode=0o644)
    return parse_signed_bundle(content).publisher


def remove_lists(config: Config, clock: Clock, name: str) -> None:
    """Take back an own list, or all lists of a publisher. Raises ListsError."""
    with open_signing_fleet(config.data, clock, PlainFormat()) as (fleet, keyring):
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
        for stored in open_lists(config.data, clock, PlainFormat()).read_bundles()
        for named in stored.bundle.lists
    ]
    return [*summarize_shipped(), *imported]
