"""Encode a status report that can be read out over the telephone.

The form is thirty digits in six groups, or eighteen words. Twenty-four digits are the code:
agent (4), minute (4), states (7), proof (9). Each group has its own check digit, so that an
error in speech is detected and its group is named. The proof is a truncated HMAC-SHA256 under a
key that agent and collector derive (`keys.CODE`) and never send. A code hides nothing: a
listener learns which services answer. Pure.
"""

import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from heliograph import keys
from heliograph.timestamps import format_minute
from heliograph.units import MINUTE_US

# In the order of the code, which agents in the field use: never change or reuse a position. Seven
# digits have no space for a fifteenth class.
TITLES: Mapping[str, str] = {
    "domestic": "hosts at home",
    "foreign": "hosts abroad",
    "dns": "names",
    "telegram": "Telegram",
    "whatsapp": "WhatsApp",
    "signal": "Signal",
    "facebook_messenger": "Facebook Messenger",
    "viber": "Viber",
    "threema": "Threema",
    "matrix": "Matrix",
    "discord": "Discord",
    "wechat": "WeChat",
    "line": "LINE",
    "tor": "Tor",
}
CLASSES = tuple(TITLES)
PAST_MIN = 4_320  # three days for a code that people pass on
AHEAD_MIN = 30  # tolerated lead of an agent's clock
GROUPS = 6
_STATES = 3 ** len(CLASSES)
_AGENTS = 10**4
_MINUTES = 10**4
_PROOFS = 10**9
_FIELDS = (4, 4, 7, 9)  # digits of agent, minute, states, proof
_DATA = 4  # digits of a group before its check
MAX_TEXT = 1_000

# Damm's quasigroup of order 10: it detects every wrong digit and every swap of two neighbors.
_DAMM = (
    "0317598642",
    "7092154863",
    "4206871359",
    "1750983426",
    "6123045978",
    "3674209581",
    "5869720134",
    "8945362017",
    "9438617205",
    "2581436790",
)
# 101 words: with a prime number the check by words is as good as the check by digits. Any two words
# differ in their first three letters and in three letters at least.
_LIST = """
acid album amber anchor apple arrow autumn baker banana barrel beach bishop blanket bottle
bridge bronze butter cabin camel candle carpet cherry chicken circus cloud coffee copper
cotton crystal dancer desert diamond doctor dolphin dragon eagle elbow engine envelope
falcon feather finger flower forest fountain galaxy garden giraffe glacier guitar harbour
helmet honey horizon iceberg island ivory jacket jungle kitchen knight ladder lemon leopard
library lobster magnet mango marble mirror museum needle ocean office olive onion orange
orchid oxygen palace panda pencil piano pilot puzzle queen rabbit radio raven robot scissors
shadow silver spider sugar sunset tailor temple thunder tomato tractor
"""
WORDS = tuple(_LIST.split())
_VALUE: Mapping[str, int] = dict(zip(WORDS, range(101), strict=True))


class ServiceState(StrEnum):
    """Name the state of a class of services in a report."""

    ANSWERS = "answers"
    FAILS = "fails"
    UNKNOWN = "unknown"  # not tested, not tested lately, or uncertain


class InvalidCodeError(ValueError):
    """Report an input that is not a valid code; str() is a sentence with the place."""


@dataclass(frozen=True, slots=True)
class StatusReport:
    """Hold an agent's report: the state of every class at one minute.

    `states` holds every class; `minute` counts from 1970 in UTC.
    """

    minute: int
    states: Mapping[str, ServiceState]

    @property
    def made_at(self) -> str:
        """Return the minute as text for people."""
        return format_minute(self.minute * MINUTE_US)


@dataclass(frozen=True, slots=True)
class ParsedCode:
    """Hold a code whose checks are right and whose proof is not verified yet."""

    agent_number: int  # as `agent_number` computes it
    minute: int  # the last four digits
    packed_states: int
    proof: int

    def resolve_minute(self, now_min: int) -> int:
        """Return the last minute with these four digits that is not too far ahead."""
        latest = now_min + AHEAD_MIN
        return latest - (latest - self.minute) % _MINUTES

    def verify_report(self, key: bytes, agent: bytes, now_min: int) -> StatusReport | None:
        """Return the report; None when the proof fails.

        The proof fails for another agent, and for a code that is older than 10,000 minutes (a
        week). The caller checks PAST_MIN.
        """
        minute = self.resolve_minute(now_min)
        if self.packed_states >= _STATES or not hmac.compare_digest(
            f"{self.proof:09}", f"{_compute_proof(key, agent, minute, self.packed_states):09}"
        ):
            return None
        return StatusReport(minute, decode_states(self.packed_states))


def agent_number(agent: bytes) -> int:
    """Return the four digits that find an agent.

    Several agents may share them; the proof distinguishes these.
    """
    return int.from_bytes(hashlib.sha256(keys.CODE + agent).digest()[:8], "big") % _AGENTS


def make_code(report: StatusReport, key: bytes, agent: bytes) -> str:
    """Make the 24 digits of a code.

    `key` comes from `SigningKey.derive_shared_key`, `agent` is the id of 16 bytes.
    """
    packed_states = encode_states(report)
    values = (
        agent_number(agent),
        report.minute % _MINUTES,
        packed_states,
        _compute_proof(key, agent, report.minute, packed_states),
    )
    return "".join(f"{v:0{width}}" for v, width in zip(values, _FIELDS, strict=True))


def format_digits(digits: str) -> str:
    """Format six groups of five digits, each with its check digit at the end."""
    return " ".join(f"{g}{_damm_digit(n, g)}" for n, g in _split_groups(digits))


def format_words(digits: str) -> str:
    """Format six groups of three words, each with its check word at the end."""
    return ", ".join(
        " ".join(
            WORDS[v] for v in (int(g[:2]), int(g[2:]), _check_value(n, int(g[:2]), int(g[2:])))
        )
        for n, g in _split_groups(digits)
    )


def parse_code(spoken: str) -> ParsedCode:
    """Parse digits of any script, or words. Raises InvalidCodeError."""
    if len(spoken) > MAX_TEXT:
        raise InvalidCodeError("is far too long for a code: six groups of five digits, or 18 words")
    has_letters = any(c.isalpha() for c in spoken)
    digits = _parse_words(spoken) if has_letters else _parse_digits(spoken)
    return ParsedCode(*_split_fields(digits))


def summarize_report(report: StatusReport) -> Iterator[str]:
    """Yield a line for each state that at least one class has."""
    titles = {
        ServiceState.ANSWERS: "answers",
        ServiceState.FAILS: "does not answer",
        ServiceState.UNKNOWN: "not known",
    }
    for state, title in titles.items():
        names = [TITLES[name] for name in CLASSES if report.states[name] is state]
        if names:
            yield f"{title}: {', '.join(names)}"


def _parse_digits(spoken: str) -> str:
    tokens = "".join(str(int(c)) if c.isdecimal() else " " for c in spoken).split()
    digits = "".join(tokens)
    size = _DATA + 1
    if len(digits) != GROUPS * size:
        odd = [n for n, t in enumerate(tokens, 1) if len(t) != size]
        where = f": look at group {odd[0]}" if len(tokens) == GROUPS and odd else ""
        raise InvalidCodeError(f"has {len(digits)} digits in place of {GROUPS * size}{where}")
    groups = [digits[at : at + size] for at in range(0, len(digits), size)]
    _check_groups([n for n, g in enumerate(groups, 1) if _damm_digit(n, g) != "0"])
    return "".join(g[:_DATA] for g in groups)


def _parse_words(spoken: str) -> str:
    code_words = "".join(c.lower() if c.isalpha() else " " for c in spoken).split()
    for position, code_word in enumerate(code_words, 1):
        if code_word not in _VALUE:
            excerpt = code_word[:20]
            raise InvalidCodeError(f"has a word that no code has, {excerpt!r} in place {position}")
    if len(code_words) != GROUPS * 3:
        raise InvalidCodeError(f"has {len(code_words)} words in place of {GROUPS * 3}")
    values = [_VALUE[code_word] for code_word in code_words]
    groups = [values[at : at + 3] for at in range(0, len(values), 3)]
    bad = [
        n for n, (a, b, c) in enumerate(groups, 1) if 100 in (a, b) or _check_value(n, a, b) != c
    ]
    _check_groups(bad)
    return "".join(f"{a:02}{b:02}" for a, b, _ in groups)


def _check_groups(bad: Sequence[int]) -> None:
    if len(bad) == 1:
        raise InvalidCodeError(f"does not add up in group {bad[0]}: ask for that group again")
    if bad:
        group_numbers = f"{', '.join(map(str, bad[:-1]))} and {bad[-1]}"
        raise InvalidCodeError(f"does not add up in groups {group_numbers}: ask for these again")


def _split_groups(digits: str) -> Iterator[tuple[int, str]]:
    return enumerate((digits[at : at + _DATA] for at in range(0, len(digits), _DATA)), 1)


def _split_fields(digits: str) -> Iterator[int]:
    offset = 0
    for width in _FIELDS:
        yield int(digits[offset : offset + width])
        offset += width


def _damm_digit(position: int, digits: str) -> str:
    """Compute a group's check digit; its position counts, so that swaps are detected."""
    check_digit = str(position)
    for digit in digits:
        check_digit = _DAMM[int(check_digit)][int(digit)]
    return check_digit


def _check_value(position: int, first: int, second: int) -> int:
    """Compute the check so that position + first + 2 second + 3 check is 0 modulo 101."""
    return -(position + first + 2 * second) * pow(3, -1, len(WORDS)) % len(WORDS)


def encode_states(report: StatusReport) -> int:
    """Encode the states of all classes as one number."""
    packed_states = 0
    for name in reversed(CLASSES):
        packed_states = packed_states * 3 + tuple(ServiceState).index(
            report.states.get(name, ServiceState.UNKNOWN)
        )
    return packed_states


def decode_states(packed_states: int) -> dict[str, ServiceState]:
    states = tuple(ServiceState)
    return {name: states[packed_states // 3**power % 3] for power, name in enumerate(CLASSES)}


def _compute_proof(key: bytes, agent: bytes, minute: int, packed_states: int) -> int:
    """Compute the proof over the whole minute.

    The four digits in the code repeat every week; a code of last week therefore proves nothing.
    """
    message = keys.CODE + agent + minute.to_bytes(8, "big") + packed_states.to_bytes(4, "big")
    return int.from_bytes(hmac.digest(key, message, hashlib.sha256), "big") % _PROOFS
