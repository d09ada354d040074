"""Verification of codes read out by telephone: agent, content and validity."""

import hashlib
import hmac
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from heliograph import keys, voice_code
from heliograph.clock import Clock
from heliograph.keys import SealingKey
from heliograph.voice_code import InvalidCodeError, ParsedCode, StatusReport
from heliograph_collector.fleet import (
    EnrolledAgent,
    Fleet,
    VoiceCodeStore,
    agent_keys,
    open_keyring,
)
from heliograph_collector.fleet.keyring import load_replaced_pairs
from heliograph_collector.ingest.voice_reports import build_code

# Per hour and source. A guess proves itself once in 10^9, so even a thousand sources guess none.
MAX_FAILED_TRIES = 20


class UnprovenError(ValueError):
    """Error for an invalid code; the message is a sentence without its period."""


def verify_code(
    code: str, data: Path, fleet: Fleet, clock: Clock, source: str, *, is_forced: bool = False
) -> tuple[EnrolledAgent, StatusReport]:
    """Return the agent and content of a code. Raises UnprovenError, counting failures.

    Args:
        source: The person or caller who gave the code, whose failures count together.
        is_forced: Whether the operator has it checked in spite of earlier failures.
    """
    try:
        parsed_code = voice_code.parse_code(code)
    except InvalidCodeError as error:
        raise UnprovenError(f"the code {error}") from error
    code_store = VoiceCodeStore(fleet)
    now_s = clock.wall_us() // 1_000_000
    keyring = open_keyring(data, [])
    source_hash = hmac.digest(keyring.secret, b"code source " + source.encode(), hashlib.sha256)
    source_name = source_hash[:8].hex()
    if code_store.count_failures(source_name, now_s) >= MAX_FAILED_TRIES and not is_forced:
        raise UnprovenError(
            f"{MAX_FAILED_TRIES} codes from there proved nothing in the last hour, so somebody may "
            "be guessing: try again in an hour, or let `import code --force` check it now"
        )
    sealing_keys = [
        keyring.sealing,
        *(sealing for sealing, _ in load_replaced_pairs(data)),
    ]
    other_keys = agent_keys.list_other_keys(fleet)
    for agent in fleet.list_agents():
        if voice_code.agent_number(agent.id) == parsed_code.agent_number:
            public_keys = (agent.public_key, *other_keys.get(agent.id, ()))
            report = _decode_report(parsed_code, sealing_keys, public_keys, agent.id, now_s // 60)
            if report is not None:
                _check_age(report, agent, now_s // 60)
                return agent, report
    code_store.record_failure(source_name, now_s)
    raise UnprovenError(
        "the code adds up, but no agent of this collector made it in the last week: ask whether "
        "it was made for this collector, whether that machine's clock is right, and for a new one"
    )


def store_code(agent: EnrolledAgent, report: StatusReport, fleet: Fleet, clock: Clock) -> None:
    """Store a code once for the process that owns the journal. Raises UnprovenError."""
    if not VoiceCodeStore(fleet).add(build_code(report, agent, clock.wall_us())):
        raise UnprovenError(
            f"a code of agent {agent.id.hex()} made {report.made_at} was taken in before, "
            "and counts once: nothing has changed"
        )


def is_stored(agent: EnrolledAgent, report: StatusReport, fleet: Fleet) -> bool:
    return VoiceCodeStore(fleet).has_code(agent.id, report.minute)


def _decode_report(
    parsed_code: ParsedCode,
    sealing_keys: Sequence[SealingKey],
    public_keys: Sequence[bytes],
    agent: bytes,
    now_min: int,
) -> StatusReport | None:
    """Verify a code by any keys of both sides: an agent offline for long has old keys."""
    for sealing_key in sealing_keys:
        for public_key in public_keys:
            with suppress(ValueError):  # not a point of the curve: such an agent can prove nothing
                key = sealing_key.derive_shared_key(public_key, keys.CODE)
                report = parsed_code.verify_report(key, agent, now_min)
                if report is not None:
                    return report
    return None


def _check_age(report: StatusReport, agent: EnrolledAgent, now_min: int) -> None:
    if agent.revoked_s is not None:
        raise UnprovenError(f"the code is of agent {agent.id.hex()}, which is revoked")
    if now_min - report.minute > voice_code.PAST_MIN:
        raise UnprovenError(
            f"the code was made {report.made_at}, more than three days ago: ask for a new one"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenReport:
    """A code whose proof is valid, in words."""

    agent: str  # hex
    created: str
    lines: tuple[str, ...]
    is_stored: bool


class VoiceCodeProver:
    """Verifies and stores codes of the agents of a fleet."""

    def __init__(self, data: Path, clock: Clock) -> None:
        self._data = data
        self._clock = clock

    def prove_code(
        self, voice_text: str, fleet: Fleet, source: str, *, is_kept: bool
    ) -> ProvenReport:
        """Verify a code, and store it if `is_kept`. Raises UnprovenError."""
        agent, report = verify_code(voice_text, self._data, fleet, self._clock, source)
        if is_kept:
            store_code(agent, report, fleet, self._clock)
        return ProvenReport(
            agent=agent.id.hex(),
            created=report.made_at,
            lines=tuple(voice_code.summarize_report(report)),
            is_stored=is_stored(agent, report, fleet),
        )
