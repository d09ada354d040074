"""A code that was read out over the telephone: whose it is, what it says, and whether it counts."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from heliograph import keys, voice_code
from heliograph.clock import Clock
from heliograph.keys import SealingKey
from heliograph.voice_code import Heard, MisheardError, Report
from heliograph_collector.fleet import Agent, Codes, Fleet, agent_keys, open_keyring
from heliograph_collector.fleet.keyring import earlier
from heliograph_collector.ingest.voice_reports import word_of

HOUR_S = 3_600
TRIES = 20  # an hour that may prove nothing, of all callers together


class UnprovenError(Exception):
    """The code does not count; the text is a sentence without its full stop."""


def prove(text: str, data: Path, fleet: Fleet, clock: Clock) -> tuple[Agent, Report]:
    """Whose it is and what it says. Raises UnprovenError; a proof that fails is counted."""
    try:
        heard = voice_code.hear(text)
    except MisheardError as error:
        raise UnprovenError(f"the code {error}") from error
    codes, now_s = Codes(fleet), clock.wall_us() // 1_000_000
    if codes.unproven(now_s - HOUR_S) >= TRIES:
        raise UnprovenError(
            f"{TRIES} codes of the last hour proved nothing, so somebody may be guessing: "
            "try again in an hour"
        )
    sealers = [open_keyring(data, []).sealing, *(sealing for sealing, _ in earlier(data))]
    others = agent_keys.others(fleet)
    for agent in fleet.agents():
        if voice_code.number_of(agent.id) == heard.who:
            public_keys = (agent.public_key, *others.get(agent.id, ()))
            report = _report(heard, sealers, public_keys, agent.id, now_s // 60)
            if report is not None:
                _in_time(report, agent, now_s // 60)
                return agent, report
    codes.proved_nothing(now_s)
    raise UnprovenError(
        "the code adds up, but no agent of this collector made it in the last week: ask whether "
        "it was made for this collector, whether that machine's clock is right, and for a new one"
    )


def keep(agent: Agent, report: Report, fleet: Fleet, clock: Clock) -> None:
    """Once, for whoever holds the journal to take over. Raises UnprovenError."""
    if not Codes(fleet).keep(word_of(report, agent, clock.wall_us())):
        raise UnprovenError(
            f"a code of agent {agent.id.hex()} made {made(report)} was taken in before, and "
            "counts once: nothing has changed"
        )


def was_kept(agent: Agent, report: Report, fleet: Fleet) -> bool:
    return Codes(fleet).knows(agent.id, report.minute)


def made(report: Report) -> str:
    return f"{datetime.fromtimestamp(report.minute * 60, UTC):%Y-%m-%d %H:%M} UTC"


def _report(
    heard: Heard,
    sealers: Sequence[SealingKey],
    public_keys: Sequence[bytes],
    agent: bytes,
    now_min: int,
) -> Report | None:
    """By any key that the agent has or had, and any of ours: who is in the dark knows old ones."""
    for sealer in sealers:
        for public_key in public_keys:
            with suppress(ValueError):  # no point of the curve: such an agent can prove nothing
                key = sealer.shared_with(public_key, keys.CODE)
                report = heard.report(key, agent, now_min)
                if report is not None:
                    return report
    return None


def _in_time(report: Report, agent: Agent, now_min: int) -> None:
    if agent.revoked_s is not None:
        raise UnprovenError(f"the code is of agent {agent.id.hex()}, which is revoked")
    if now_min - report.minute > voice_code.PAST_MIN:
        raise UnprovenError(
            f"the code was made {made(report)}, more than three days ago: ask for a new one"
        )
