"""Writer of signal files, which `signal_file` reads."""

from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from heliograph.observation import Trigger
from heliograph.timestamps import format_timestamp
from heliograph.units import SECOND_US
from heliograph_collector.model.level import LevelReading
from heliograph_collector.model.signals import (
    LIGHT_SOURCE,
    Fault,
    Goodbye,
    ServiceVote,
    VantageArrival,
    VantageLoss,
    VantageRef,
    VantageSignal,
)
from heliograph_collector.sources.replay import Replay, Series
from heliograph_collector.sources.signal_lines import (
    ArrivalLine,
    FaultLine,
    GoodbyeLine,
    LevelLine,
    LossLine,
    ReportLine,
    SignalLine,
    VoteLine,
)


def write_signals(replay: Replay, file: BinaryIO) -> int:
    """Write the input of a replay, without its truths; return the number of lines."""
    count = 0
    for line in _build_lines(replay):
        file.write(msgspec.json.encode(line) + b"\n")
        count += 1
    return count


def list_readings(series: Series) -> Iterator[LevelReading]:
    """Yield the steps of a series."""
    for index, value in enumerate(series.values):
        at_us = series.since_us + index * series.step_us
        yield LevelReading(at_us, series.step_us, series.scope, series.source, value)


def _build_lines(replay: Replay) -> Iterator[SignalLine]:
    yield from map(_build_signal_line, replay.signals)
    yield from map(_build_vote_line, replay.opinions)
    for series in replay.series:
        yield from map(_build_level_line, list_readings(series))


def _build_signal_line(signal: VantageSignal) -> SignalLine:
    at = format_timestamp(signal.at_us)
    if isinstance(signal, VantageArrival):
        return _build_arrival_line(signal, at)
    if isinstance(signal, Goodbye):
        return GoodbyeLine(at=at, vantage=signal.nym)
    if isinstance(signal, VantageLoss):
        last_heard = format_timestamp(signal.heard_us)
        return LossLine(
            at=at,
            vantage=signal.nym,
            last_heard=last_heard,
            on_battery=signal.on_battery,
            closed=format_timestamp(signal.closed_us) if signal.closed_us else None,
        )
    transport, _, entrance = signal.carrier.partition("/")
    if isinstance(signal, Fault):
        return FaultLine(
            at=at,
            until=format_timestamp(signal.until_us),
            reason=signal.why,
            country=signal.country,
            transport=transport,
            entrance=entrance,
        )
    return ReportLine(
        at=at,
        vantage=signal.nym,
        since=format_timestamp(signal.since_us),
        until=format_timestamp(signal.until_us),
        alive=signal.alive,
        online=signal.online,
        transport=transport,
        entrance=entrance,
    )


def _build_arrival_line(signal: VantageArrival, at: str) -> ArrivalLine:
    witness = signal.witness
    transport, _, entrance = witness.carrier.partition("/")
    return ArrivalLine(
        at=at,
        vantage=witness.nym,
        prefix=witness.prefix,
        enrolled=_format_enrollment(witness),
        transport=transport,
        entrance=entrance,
        on_battery=signal.on_battery,
        uptime_s=signal.uptime_s,
        edition=signal.edition,
        role="control" if signal.is_control else "volunteer",
        **witness.place._asdict(),
    )


def _build_vote_line(vote: ServiceVote) -> VoteLine:
    return VoteLine(
        at=format_timestamp(vote.at_us),
        vantage=vote.witness.nym,
        prefix=vote.witness.prefix,
        enrolled=_format_enrollment(vote.witness),
        service=vote.service,
        value=vote.standing,
        layer=vote.layer,
        method=vote.method,
        experiment=vote.source.removesuffix(LIGHT_SOURCE),
        light=vote.is_light,
        trigger=Trigger(vote.trigger) if vote.trigger else None,
        functions=vote.function,
        edition=vote.edition,
        **vote.witness.place._asdict(),
    )


def _build_level_line(reading: LevelReading) -> LevelLine:
    return LevelLine(
        at=format_timestamp(reading.at_us),
        source=reading.source,
        step_s=reading.step_us // SECOND_US,
        value=reading.value,
        **reading.scope._asdict(),
    )


def _format_enrollment(witness: VantageRef) -> str | None:
    return format_timestamp(witness.first_us) if witness.first_us > 0 else None
