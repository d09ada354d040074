"""A report that can be read out over the telephone: who, when, and which kinds of service answer.

Thirty digits in six groups, or eighteen words. Twenty-four digits are the code: agent (4), minute
(4), states (7), proof (9); each group has a check of its own, so that what was misheard is found,
and found where. The proof is a truncated HMAC-SHA256 under a key that agent and collector derive
(`keys.CODE`) and nobody sends. It hides nothing: who listens hears what answers. Pure.
"""

import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from heliograph import keys
from heliograph.experiments import REGISTRY

_NUMBERED = sorted(
    (each for entry in REGISTRY.values() for each in entry.voice), key=lambda each: each.number
)
# In the order of their numbers in the code; a later edition may only add a kind of code.
CLASSES = tuple(each.name for each in _NUMBERED)
TITLES: Mapping[str, str] = {each.name: each.title for each in _NUMBERED}
PAST_MIN = 4_320  # three days on the way, from mouth to mouth
AHEAD_MIN = 30  # an agent's clock may be as much ahead
GROUPS = 6
_LIVES = 3 ** len(CLASSES)
_AGENTS, _MINUTES, _PROOFS = 10**4, 10**4, 10**9
_FIELDS = (4, 4, 7, 9)  # digits of each
_DATA = 4  # digits of a group before its check
MAX_TEXT = 1_000

# Damm's quasigroup of order 10: one wrong digit, or two neighbours swapped, never add up.
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
# 101, a prime, so that the check by words is as good. Any two differ in their first three letters
# and in three letters at least.
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


class Life(StrEnum):
    ANSWERS = "answers"
    FAILS = "fails"
    UNKNOWN = "unknown"  # not tested, not lately, or in doubt


class MisheardError(ValueError):
    """What was typed is no code; the text is a sentence that names the place."""


@dataclass(frozen=True, slots=True)
class Report:
    """What an agent says. `lives` holds every class; `minute` counts from 1970 in UTC."""

    minute: int
    lives: Mapping[str, Life]


@dataclass(frozen=True, slots=True)
class Heard:
    """A code that adds up and is not proven yet."""

    who: int  # as `number_of` its agent
    minute: int  # the last four digits
    lives: int
    proof: int

    def made(self, now_min: int) -> int:
        """The minute it can only have been made in: the last that ends so and is not ahead."""
        latest = now_min + AHEAD_MIN
        return latest - (latest - self.minute) % _MINUTES

    def report(self, key: bytes, agent: bytes, now_min: int) -> Report | None:
        """None when it was not this agent that made it, or not in the last week. See PAST_MIN."""
        minute = self.made(now_min)
        if self.lives >= _LIVES or not hmac.compare_digest(
            f"{self.proof:09}", f"{_proof(key, agent, minute, self.lives):09}"
        ):
            return None
        return Report(minute, unfolded(self.lives))


def number_of(agent: bytes) -> int:
    """The four digits that find an agent; the proof tells those apart that share them."""
    return int.from_bytes(hashlib.sha256(keys.CODE + agent).digest()[:8], "big") % _AGENTS


def code(report: Report, key: bytes, agent: bytes) -> str:
    """24 digits; `key` by `SigningKey.shared_with`, `agent` the id of 16 bytes."""
    lives = folded(report)
    values = (
        number_of(agent),
        report.minute % _MINUTES,
        lives,
        _proof(key, agent, report.minute, lives),
    )
    return "".join(f"{v:0{width}}" for v, width in zip(values, _FIELDS, strict=True))


def in_digits(said: str) -> str:
    """Six groups of five, each with its check digit at the end."""
    return " ".join(f"{g}{_damm(n, g)}" for n, g in _grouped(said))


def in_words(said: str) -> str:
    """Six groups of three with commas between, each with its check word at the end."""
    return ", ".join(
        " ".join(WORDS[v] for v in (int(g[:2]), int(g[2:]), _check(n, int(g[:2]), int(g[2:]))))
        for n, g in _grouped(said)
    )


def hear(text: str) -> Heard:
    """Digits of any script or words, with anything between them. Raises MisheardError."""
    if len(text) > MAX_TEXT:
        raise MisheardError("is far too long for a code: six groups of five digits, or 18 words")
    lettered = any(c.isalpha() for c in text)
    said = _by_words(text) if lettered else _by_digits(text)
    who, minute, lives, proof = _cut(said)
    return Heard(who, minute, lives, proof)


def summary(report: Report) -> Iterator[str]:
    """A line for each state that some class is in."""
    shown = {Life.ANSWERS: "answers", Life.FAILS: "does not answer", Life.UNKNOWN: "not known"}
    for life, title in shown.items():
        names = [TITLES[name] for name in CLASSES if report.lives[name] is life]
        if names:
            yield f"{title}: {', '.join(names)}"


def _by_digits(text: str) -> str:
    tokens = "".join(str(int(c)) if c.isdecimal() else " " for c in text).split()
    digits = "".join(tokens)
    size = _DATA + 1
    if len(digits) != GROUPS * size:
        odd = [n for n, t in enumerate(tokens, 1) if len(t) != size]
        where = f": look at group {odd[0]}" if len(tokens) == GROUPS and odd else ""
        raise MisheardError(f"has {len(digits)} digits in place of {GROUPS * size}{where}")
    groups = [digits[at : at + size] for at in range(0, len(digits), size)]
    _all_add_up([n for n, g in enumerate(groups, 1) if _damm(n, g) != "0"])
    return "".join(g[:_DATA] for g in groups)


def _by_words(text: str) -> str:
    words = "".join(c.lower() if c.isalpha() else " " for c in text).split()
    for place, word in enumerate(words, 1):
        if word not in _VALUE:
            shown = word[:20]
            raise MisheardError(f"has a word that no code has, {shown!r} in place {place}")
    if len(words) != GROUPS * 3:
        raise MisheardError(f"has {len(words)} words in place of {GROUPS * 3}")
    values = [_VALUE[word] for word in words]
    groups = [values[at : at + 3] for at in range(0, len(values), 3)]
    bad = [n for n, (a, b, c) in enumerate(groups, 1) if 100 in (a, b) or _check(n, a, b) != c]
    _all_add_up(bad)
    return "".join(f"{a:02}{b:02}" for a, b, _ in groups)


def _all_add_up(bad: Sequence[int]) -> None:
    if len(bad) == 1:
        raise MisheardError(f"does not add up in group {bad[0]}: ask for that group again")
    if bad:
        named = f"{', '.join(map(str, bad[:-1]))} and {bad[-1]}"
        raise MisheardError(f"does not add up in groups {named}: ask for these again")


def _grouped(said: str) -> Iterator[tuple[int, str]]:
    return enumerate((said[at : at + _DATA] for at in range(0, len(said), _DATA)), 1)


def _cut(said: str) -> Iterator[int]:
    at = 0
    for width in _FIELDS:
        yield int(said[at : at + width])
        at += width


def _damm(position: int, digits: str) -> str:
    """Begun from the group's place, so that two whole groups cannot change theirs unnoticed."""
    found = str(position)
    for digit in digits:
        found = _DAMM[int(found)][int(digit)]
    return found


def _check(position: int, first: int, second: int) -> int:
    """So that place + first + 2 second + 3 check is a multiple of 101."""
    return -(position + first + 2 * second) * pow(3, -1, len(WORDS)) % len(WORDS)


def folded(report: Report) -> int:
    """The states of all classes as one number."""
    lives = 0
    for name in reversed(CLASSES):
        lives = lives * 3 + tuple(Life).index(report.lives.get(name, Life.UNKNOWN))
    return lives


def unfolded(lives: int) -> dict[str, Life]:
    states = tuple(Life)
    return {name: states[lives // 3**place % 3] for place, name in enumerate(CLASSES)}


def _proof(key: bytes, agent: bytes, minute: int, lives: int) -> int:
    """Over the whole minute, not the four digits said: last week's code proves nothing."""
    said = keys.CODE + agent + minute.to_bytes(8, "big") + lives.to_bytes(4, "big")
    return int.from_bytes(hmac.digest(key, said, hashlib.sha256), "big") % _PROOFS


_VALUE: Mapping[str, int] = {word: value for value, word in enumerate(WORDS)}
