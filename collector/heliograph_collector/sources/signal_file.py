"""Read and write signal files: presence, faults, votes and levels as JSON lines.

README.md describes the keys. The reader is strict, because a line that is left out could make a
silence of a farewell: bad lines are named with their remedy, and then nothing is replayed.
"""

import re
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field, replace
from operator import itemgetter
from pathlib import Path

import msgspec

from heliograph.observation import Trigger
from heliograph.units import SECOND_US
from heliograph_collector.model.level import LevelReading
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import (
    Fault,
    FaultReason,
    Goodbye,
    OfflineReport,
    ServiceVote,
    VantageArrival,
    VantageLocation,
    VantageLoss,
    VantageRef,
    VantageSignal,
    VoteValue,
)
from heliograph_collector.sources.complaints import Complaints, ImportRefusedError
from heliograph_collector.sources.json_objects import (
    MAX_EXPANDED_BYTES,
    MAX_ROWS,
    OVERSIZED_FILE,
    OVERSIZED_LINE,
    LineLimits,
    iterate_lines,
    open_file,
    read_head,
)
from heliograph_collector.sources.level_names import find_misfit
from heliograph_collector.sources.signal_lines import (
    SHAPES,
    ArrivalLine,
    EndLine,
    FaultLine,
    GoodbyeLine,
    LevelLine,
    LossLine,
    ReportLine,
    SignalLine,
    Time,
    VoteLine,
)
from heliograph_collector.sources.timestamps import find_time_range, parse_timestamp

LIMITS = LineLimits(1 << 16, MAX_EXPANDED_BYTES, MAX_ROWS)
DELIVERY_US = 17 * SECOND_US  # half of the 30 s between two batches of an agent, 2 s to judge it
_UNNAMED_NETWORKS = 4_200_000_000  # the first AS number for private use (RFC 6996)
_COUNTRY = re.compile(r"[A-Z]{2}")
_ENUM_ERROR = re.compile(r"Invalid enum value .* - at `\$\.(\w+)`")
_RESTART_US = 600 * SECOND_US  # as `detect/silence/renewal.py` has it
_RESTARTED = "(restarted)"  # edition of an agent that names none and restarted

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # editors of Windows write one
_CHOICES = {
    "access": ("mobile", "fixed", "hosting"),
    "value": tuple(VoteValue),
    "reason": tuple(FaultReason),
    "trigger": tuple(Trigger),
    "role": ("volunteer", "control"),
}

_DECODER = msgspec.json.Decoder(SignalLine)


@dataclass(slots=True)
class SignalInput:
    """Content of a signal file in order of time; votes have the time of their arrival.

    `until_us` is the end that the file names, 0 if it names none.
    """

    signals: list[VantageSignal] = field(default_factory=list)
    votes: list[tuple[int, ServiceVote]] = field(default_factory=list)
    levels: list[LevelReading] = field(default_factory=list)
    until_us: int = 0


def read_signals(path: Path) -> SignalInput:
    """Read a file. Raises ImportRefusedError with a sentence for each bad line."""
    head = read_head(path)
    if head.strip() and b'"kind"' not in head:
        raise ImportRefusedError(
            f"{path} is no file of signals: `heliograph-collector import series {path} --signals "
            "FILE` makes one of public data."
        )
    complaints = Complaints()
    reader = _SignalReader(path, complaints)
    with open_file(path) as file:
        for number, line in iterate_lines(file, LIMITS):
            if line is OVERSIZED_FILE:
                complaints.add(
                    f"{path}:{number}",
                    f"the file has over {MAX_ROWS} lines or {MAX_EXPANDED_BYTES >> 30} GiB; "
                    "cut it into parts",
                )
                break
            reader.read_line(number, line)
    reader.add_editions()
    reader.split_faults()
    reader.check_times()
    reader.check_levels()
    if complaints.sentences:
        raise ImportRefusedError("\n".join(complaints.list_sentences()))
    if not reader.times_us:
        raise ImportRefusedError(f"{path} holds no signal: write one JSON object a line.")
    return reader.content


class _SignalReader:
    """A reader of lines, which knows the vantages of earlier ones."""

    def __init__(self, path: Path, complaints: Complaints) -> None:
        self.content = SignalInput()
        self.times_us: list[tuple[int, int]] = []  # (line, time)
        self._path = path
        self._complaints = complaints
        self._vantages: dict[str, VantageRef] = {}
        self._carriers: set[str] = set()
        self._unnamed_networks: dict[str, int] = {}  # by prefix
        self._boots: dict[str, str] = {}
        self._left_us: dict[str, int] = {}  # last goodbye
        self._editions: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)

    def read_line(self, number: int, line: bytes) -> None:
        body = line.strip().removeprefix(_BYTE_ORDER_MARK)
        if not body:
            return
        try:
            if line is OVERSIZED_LINE:
                raise ValueError(f"the line is over {LIMITS.line_bytes >> 10} KiB; shorten it")
            parsed = _DECODER.decode(body)
            self.times_us.append((number, _parse_time(parsed.at, "at")))
            self._add_line(parsed)
        except msgspec.ValidationError as error:
            self._complain(number, f"{error}; {_find_remedy(error, body)}")
        except (ValueError, RecursionError) as error:
            self._complain(number, str(error))

    def add_editions(self) -> None:
        """Give each vote the edition of its vantage's latest arrival before it."""
        for name, editions in self._editions.items():
            stated = [(at_us, edition) for at_us, edition in editions if edition != _RESTARTED]
            self._editions[name] = sorted(stated or editions)
        self.content.votes = [
            (arrived_us, replace(vote, edition=self._find_edition(vote)))
            for arrived_us, vote in self.content.votes
        ]

    def split_faults(self) -> None:
        """Make a fault of each carrier that vantages have, of one that names half of it."""
        signals: list[VantageSignal] = []
        for signal in self.content.signals:
            if isinstance(signal, Fault) and signal.carrier:
                signals += [replace(signal, carrier=name) for name in self._list_carriers(signal)]
            else:
                signals.append(signal)
        self.content.signals = signals

    def check_times(self) -> None:
        """Complain about times far from the others, which a wrong unit would explain."""
        low_us, high_us = find_time_range([at_us for _, at_us in self.times_us])
        for number, at_us in self.times_us:
            if not low_us <= at_us <= high_us:
                self._complain(number, "its time is over 200 days from the others; correct it")

    def check_levels(self) -> None:
        """Complain about sources whose values are codes."""
        values: defaultdict[str, set[float | None]] = defaultdict(set)
        for reading in self.content.levels:
            values[reading.source].add(reading.value)
        for source, own_values in values.items():
            if misfit := find_misfit(source, own_values):
                self._complaints.add(str(self._path), misfit)

    def _complain(self, number: int, reason: str) -> None:
        self._complaints.add(f"{self._path}:{number}", reason)

    def _add_line(self, line: SignalLine) -> None:
        if isinstance(line, LevelLine):
            self.content.levels.append(_build_reading(line))
        elif isinstance(line, VoteLine):
            self.content.votes.append(self._build_vote(line))
        elif isinstance(line, EndLine):
            self.content.until_us = max(self.content.until_us, _parse_time(line.at, "at"))
        else:
            self.content.signals.append(self._build_signal(line))

    def _build_signal(
        self, line: ArrivalLine | GoodbyeLine | LossLine | ReportLine | FaultLine
    ) -> VantageSignal:
        at_us = _parse_time(line.at, "at")
        if isinstance(line, FaultLine):
            return _build_fault(line, at_us)
        if isinstance(line, ArrivalLine):
            return self._build_arrival(line, at_us)
        if line.vantage not in self._vantages:
            raise ValueError(f"no line before it has the arrival of {line.vantage!r}; add it")
        if isinstance(line, GoodbyeLine):
            self._left_us[line.vantage] = at_us
            return Goodbye(at_us, line.vantage)
        return _build_loss(line, at_us) if isinstance(line, LossLine) else self._build_report(line)

    def _build_report(self, line: ReportLine) -> OfflineReport:
        at_us = _parse_time(line.at, "at")
        own_transport = self._vantages[line.vantage].carrier.partition("/")[0]
        transport = line.transport or (own_transport if line.entrance else "")
        return OfflineReport(
            at_us,
            line.vantage,
            _parse_time(line.since, "since"),
            _parse_time(line.until, "until"),
            line.alive,
            line.online,
            _join_carrier(transport, line.entrance),
        )

    def _build_arrival(self, line: ArrivalLine, at_us: int) -> VantageArrival:
        vantage = self._build_vantage(line)
        earlier_boot = self._boots.get(line.vantage, "")
        self._boots[line.vantage] = line.boot or earlier_boot
        is_rebooted = bool(line.boot and earlier_boot) and line.boot != earlier_boot
        uptime_s = 0 if is_rebooted and line.uptime_s is None else line.uptime_s
        is_same_boot = bool(earlier_boot) and line.boot == earlier_boot
        is_restart = 0 < at_us - self._left_us.get(line.vantage, 0) <= _RESTART_US
        edition = line.edition or (_RESTARTED if is_restart else "")
        if edition:
            self._editions[line.vantage].append((at_us, edition))
        return VantageArrival(
            at_us,
            vantage,
            line.on_battery,
            uptime_s,
            line.edition,
            is_same_boot,
            is_control=line.role == "control",
        )

    def _build_vantage(self, line: ArrivalLine | VoteLine) -> VantageRef:
        _check_country(line.country)
        prefix = line.prefix or line.vantage
        vantage = VantageRef(
            line.vantage,
            prefix,
            self._locate(line, prefix),
            0 if line.enrolled is None else _parse_time(line.enrolled, "enrolled"),
            _join_carrier(line.transport, line.entrance),
        )
        self._vantages[line.vantage] = vantage
        self._carriers.add(vantage.carrier)
        return vantage

    def _locate(self, line: ArrivalLine | VoteLine, prefix: str) -> VantageLocation:
        """Return the location; an arrival without an AS is in a network of its prefix.

        With one unknown network, no country would ever be silent in two.
        """
        if line.asn or isinstance(line, VoteLine):  # a vote's AS may be that of all, as in counts
            return line.location
        next_number = _UNNAMED_NETWORKS + len(self._unnamed_networks)
        return line.location._replace(asn=self._unnamed_networks.setdefault(prefix, next_number))

    def _build_vote(self, line: VoteLine) -> tuple[int, ServiceVote]:
        """Build a vote; a vantage without a country is that of an earlier line."""
        earlier = self._vantages.get(line.vantage) if not line.country else None
        if not line.country and earlier is None:
            raise ValueError(
                f"no line before it has the place of {line.vantage!r}; name its country, "
                "or put its arrival first"
            )
        vantage = earlier or self._build_vantage(line)
        _check_place(line, vantage)
        at_us = _parse_time(line.at, "at")
        arrived_us = (
            at_us + DELIVERY_US
            if line.received is None
            else max(at_us, _parse_time(line.received, "received"))
        )
        return arrived_us, ServiceVote(
            at_us,
            vantage,
            line.service,
            line.judge_value(arrived_us - at_us),
            line.layer,
            line.method,
            line.source,
            line.functions,
            line.trigger or "",
            edition=line.edition,
        )

    def _list_carriers(self, fault: Fault) -> list[str]:
        """List the carriers of a fault; where vantages have none of them, its own words."""
        transport, _, entrance = fault.carrier.partition("/")
        carriers = [
            name
            for name in sorted(self._carriers)
            if transport in ("", name.partition("/")[0])
            and entrance in ("", name.partition("/")[2])
        ]
        return carriers or [fault.carrier]

    def _find_edition(self, vote: ServiceVote) -> str:
        editions = self._editions.get(vote.witness.nym, [])
        index = bisect_right(editions, vote.at_us, key=itemgetter(0))
        return vote.edition or (editions[index - 1][1] if index else "")


def _build_reading(line: LevelLine) -> LevelReading:
    _check_country(line.country)
    misfit = find_misfit(line.source)
    if misfit:
        raise ValueError(misfit)
    at_us = _parse_time(line.at, "at")
    return LevelReading(
        at_us, line.step_s * SECOND_US, Scope(*line.location), line.source, line.value
    )


def _build_fault(line: FaultLine, at_us: int) -> Fault:
    if line.country:
        _check_country(line.country)
    until_us = _parse_time(line.until, "until")
    if until_us < at_us:
        raise ValueError("until is before at; correct one of them")
    carrier = _join_carrier(line.transport, line.entrance)
    return Fault(at_us, until_us, line.reason, line.country, carrier)


def _build_loss(line: LossLine, at_us: int) -> VantageLoss:
    """Build a loss; times of the last message and the close are at most the loss's."""
    heard_us = at_us if line.last_heard is None else _parse_time(line.last_heard, "last_heard")
    closed_us = 0 if line.closed is None else min(at_us, _parse_time(line.closed, "closed"))
    return VantageLoss(
        at_us, line.vantage, min(at_us, heard_us), line.on_battery, closed_us=closed_us
    )


def _check_place(line: VoteLine, vantage: VantageRef) -> None:
    """Refuse a vote for another place than its vantage's, unless it names its country."""
    own = {**vantage.place._asdict(), "prefix": vantage.prefix}
    for key in () if line.country else ("region", "asn", "access", "prefix"):
        stated = getattr(line, key)
        if stated and stated != own[key]:
            raise ValueError(
                f"{key} {stated!r} is not that of {line.vantage!r}, {own[key]!r}; "
                "name the country of the vote too if its place is another"
            )


def _check_country(country: str) -> None:
    if not _COUNTRY.fullmatch(country):
        raise ValueError(f"the country {country!r} is not two capitals; write it like KZ")


def _parse_time(value: Time, key: str) -> int:
    at_us = parse_timestamp(value)
    if at_us is None:
        raise ValueError(
            f"{key} {value!r:.40} is no time; write 2026-01-08T16:30:00Z or seconds since 1970"
        )
    return at_us


def _join_carrier(transport: str, entrance: str) -> str:
    return f"{transport}/{entrance}" if entrance else transport


def _find_remedy(error: msgspec.ValidationError, body: bytes) -> str:
    """Return the remedy for a line of the wrong shape: its allowed values or keys."""
    named = _ENUM_ERROR.match(str(error))
    if named and named[1] in _CHOICES:
        return f"{named[1]} is one of {', '.join(_CHOICES[named[1]])}"
    try:
        kind = msgspec.json.decode(body, type=_KindLine).kind
    except (ValueError, RecursionError):
        kind = ""
    shapes = {str(shape.__struct_config__.tag): shape for shape in SHAPES}
    if kind not in shapes:
        return f"kind is one of {', '.join(shapes)}"
    return f"the keys of {kind} are {', '.join(shapes[kind].__struct_encode_fields__)}"


class _KindLine(msgspec.Struct):
    kind: str = ""
