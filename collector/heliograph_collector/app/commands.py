"""Operations of one-shot commands; each imports only the stages that it needs."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from heliograph_collector.config.receivers import Receiver
from heliograph_collector.config.settings import Config

if TYPE_CHECKING:
    from heliograph_collector.judge.fingerprints.library import ListSource
    from heliograph_collector.model.published.files import DumpFile
    from heliograph_collector.sources.ooni import Complaint
    from heliograph_collector.sources.ooni.judged_import import JudgedImport
    from heliograph_collector.store.store import Store


def build_store(config: Config) -> "Store":
    """Build the store without opening it. Raises StoreError."""
    from heliograph_collector.store.store import Store

    return Store(
        config.store,
        observations_days=config.observations_days,
        verdicts_days=config.verdicts_days,
    )


async def export_days(
    config: Config,
    folder: Path,
    window_us: tuple[int, int],
    now_us: int,
    on_day: Callable[[str], None],
) -> "list[DumpFile]":
    """Write the daily files of a window; the store must not be open. Raises StoreError, OSError."""
    from heliograph_collector.http import dump_writer

    store = build_store(config)
    try:
        await store.open()
        return await dump_writer.export_days(
            store, folder, config.k_anonymity, _list_names(config), *window_us, now_us, on_day
        )
    finally:
        await store.close()


def _list_names(config: Config) -> set[str]:
    """List the services and targets that a public file may name."""
    from heliograph.services import load_services
    from heliograph_collector.fleet import Fleet
    from heliograph_collector.fleet.plans import list_public_names

    services = load_services(config.services_file)
    with closing(Fleet(config.data)) as fleet:
        return list_public_names(fleet, services)


async def send_sample(receiver: Receiver, base_url: str, now_us: int) -> str:
    """Send a sample alert once and return the answer. Raises CannotServeError."""
    from heliograph_collector.alerting import service

    return await service.send_sample(receiver, base_url, now_us)


def judge_files(
    paths: Sequence[Path], lists: "ListSource | None" = None, max_expanded: int | None = None
) -> "Iterator[JudgedImport | Complaint]":
    """Judge each document of OONI files and folders by our own rules.

    Args:
        lists: The imported lists that the judge uses beside the shipped ones, if any.
        max_expanded: Bytes that are read of one file, unpacked.
    """
    from heliograph_collector.judge import judge as shipped_judge
    from heliograph_collector.judge.fingerprints.library import LIBRARY
    from heliograph_collector.judge.watching_judge import WatchingJudge
    from heliograph_collector.sources.ooni import judged_import

    if lists is not None:
        LIBRARY.watch(lists)
        LIBRARY.refresh()
    judge = WatchingJudge(lists) if lists else shipped_judge
    return judged_import.judge_files(paths, judge, max_expanded=max_expanded)
