"""Operations of one-shot commands; each imports only the stages that it needs."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from heliograph_collector.config.errors import CannotServeError
from heliograph_collector.config.receivers import Receiver
from heliograph_collector.config.settings import Config

if TYPE_CHECKING:
    from heliograph_collector.config.journal_settings import JournalSettings
    from heliograph_collector.detect.replay import ReplayResult
    from heliograph_collector.detect.reproduce import Reproduction
    from heliograph_collector.judge.fingerprints.library import ListSource
    from heliograph_collector.model.published.files import DumpFile
    from heliograph_collector.model.records import ControlView, ReceivedMeasurement
    from heliograph_collector.model.signals import ServiceVote
    from heliograph_collector.sources.complaints import ImportResult
    from heliograph_collector.sources.ooni import Complaint
    from heliograph_collector.sources.ooni.judged_import import JudgedImport
    from heliograph_collector.store.clickhouse import WritePermission
    from heliograph_collector.store.journal.moved_journal import MovedJournal
    from heliograph_collector.store.store import Store


def find_country(claim: str) -> str:
    """Return the code of a country, given in any case; "" if there is none."""
    from heliograph_collector.http import labels

    return labels.find_country(claim)


def build_store(config: Config, permission: "WritePermission | None" = None) -> "Store":
    """Build the store without opening it. Raises StoreError.

    Args:
        permission: Must be held to write to a server; None if none is needed.
    """
    from heliograph_collector.store.store import Store

    return Store(
        config.store,
        permission=permission,
        observations_days=config.observations_days,
        verdicts_days=config.verdicts_days,
    )


async def move_journal(config: Config, servers: "JournalSettings") -> "MovedJournal":
    """Move the journal of a stopped collector to servers.

    Raises JournalError, StoreError, DirectoryInUseError.
    """
    from heliograph_collector.detect.checkpoint import FOLDER, list_states
    from heliograph_collector.store.journal.opening import move_to_servers, read_journal_id

    marks: dict[str, int] = {}
    journal_id = read_journal_id(config.data)
    store = build_store(config)
    try:
        await store.open()
        marks["The store"] = await store.cursor(journal_id)
    finally:
        await store.close()
    states = list_states(config.data / FOLDER)
    if states:
        marks["The detectors' checkpoint"] = int(states[0].name.partition("-")[0])
    return await move_to_servers(servers, config.data, marks)


async def export_days(
    config: Config,
    folder: Path,
    window_us: tuple[int, int],
    now_us: int,
    on_day: Callable[[str], None],
) -> "list[DumpFile]":
    """Write the daily files of a window; the store must not be open.

    Raises StoreError, OSError.
    """
    from heliograph.services import load_services
    from heliograph_collector.fleet.plans import load_public_names
    from heliograph_collector.http import dump_writer

    store = build_store(config)
    try:
        await store.open()
        names = load_public_names(config.data, load_services(config.services_file))
        return await dump_writer.export_days(
            store, folder, config.k_anonymity, names, *window_us, now_us, on_day, config.license
        )
    finally:
        await store.close()


async def send_sample(receiver: Receiver, base_url: str, now_us: int) -> str:
    """Send a sample alert once and return the answer. Raises CannotServeError."""
    from heliograph_collector.alerting import service

    return await service.send_sample(receiver, base_url, now_us)


def judge_files(
    paths: Sequence[Path],
    lists: "ListSource | None" = None,
    max_expanded: int | None = None,
    processes: int | None = None,
) -> "Iterator[JudgedImport | Complaint]":
    """Judge OONI files and folders by our rules, with imported `lists` if any.

    `max_expanded` limits the bytes that are read of one file, unpacked; `processes` None is one for
    each processor, as far as there is work for them.
    """
    from heliograph_collector.judge import judge as shipped_judge
    from heliograph_collector.judge.fingerprints.library import LIBRARY
    from heliograph_collector.judge.watching_judge import WatchingJudge
    from heliograph_collector.sources.ooni import judged_import

    if lists is not None:
        LIBRARY.watch(lists)
        LIBRARY.refresh()
    judge = WatchingJudge(lists) if lists else shipped_judge
    return judged_import.judge_files(paths, judge, max_expanded=max_expanded, processes=processes)


class RuleVoter:
    """Vote by the shipped rules, as the detectors read verdicts."""

    def list_votes(
        self, record: "ReceivedMeasurement", control: "ControlView"
    ) -> "Sequence[ServiceVote]":
        from heliograph_collector.detect.signal_reader import read_votes
        from heliograph_collector.judge import judge

        return list(read_votes([(record, judge(record, control))]))


def load_event(path: Path, entity: str = "") -> "ImportResult":
    """Load a public series, see `event_file.load_event`. Raises ImportRefusedError."""
    from heliograph_collector.http.labels import list_country_codes
    from heliograph_collector.sources import event_file
    from heliograph_collector.sources.entity import CountryNames

    return event_file.load_event(path, entity, RuleVoter(), CountryNames(list_country_codes()))


def replay_file(path: Path) -> "ReplayResult":
    """Run the detectors over a file of signals. Raises ImportRefusedError."""
    from heliograph_collector.detect.replay import replay_signals
    from heliograph_collector.sources.signal_file import read_signals
    from heliograph_collector.sources.tested_links import drop_dead_tests, report_tested_links

    content = read_signals(path)
    signals = [*content.signals, *report_tested_links(content.signals, content.votes)]
    votes = drop_dead_tests(content.signals, content.votes)
    return replay_signals(signals, votes, content.levels, content.until_us)


def reproduce_log(lines: Iterable[bytes], entries: int, data: Path) -> "Reproduction":
    """Make the entries of a log again from the journal. Raises CannotServeError."""
    from heliograph_collector.detect.reproduce import ReproductionError, reproduce

    try:
        return reproduce(lines, entries, data)
    except ReproductionError as error:
        raise CannotServeError(str(error)) from error
