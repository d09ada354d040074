"""A code over the telephone keeps its content, and locates misheard digits."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph import keys, voice_code
from heliograph.voice_code import CLASSES, ServiceState, StatusReport
from support.values import present

AGENT, COLLECTOR = keys.SigningKey(bytes(range(32))), keys.SealingKey(bytes(range(1, 33)))
WHO = keys.agent_id(AGENT.public)
KEY = AGENT.derive_shared_key(COLLECTOR.public, keys.CODE)
NOW = 29_400_000
lives = st.fixed_dictionaries({name: st.sampled_from(ServiceState) for name in CLASSES})
ages = st.integers(-voice_code.AHEAD_MIN, voice_code.PAST_MIN)


def made(minute: int = NOW, said: dict[str, ServiceState] | None = None) -> str:
    return voice_code.make_code(
        StatusReport(minute, said or {"telegram": ServiceState.ANSWERS}), KEY, WHO
    )


@given(lives, ages, st.sampled_from([voice_code.format_digits, voice_code.format_words]))
@settings(deadline=None)
def test_what_was_said_is_heard(said: dict[str, ServiceState], age: int, how: object) -> None:
    assert callable(how)
    heard = voice_code.parse_code(how(made(NOW - age, said)))
    assert heard.agent_number == voice_code.agent_number(WHO)
    theirs = COLLECTOR.derive_shared_key(AGENT.public, keys.CODE)
    assert heard.verify_report(theirs, WHO, NOW) == StatusReport(NOW - age, said)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("life", ServiceState)
def test_each_state_of_each_class(name: str, life: ServiceState) -> None:
    report = present(
        voice_code.parse_code(voice_code.format_digits(made(said={name: life}))).verify_report(
            KEY, WHO, NOW
        )
    )
    assert report.states == dict.fromkeys(CLASSES, ServiceState.UNKNOWN) | {name: life}


def test_every_single_wrong_digit_is_found_in_its_group() -> None:
    digits = voice_code.format_digits(made()).replace(" ", "")
    for at in range(30):
        for other in set("0123456789") - {digits[at]}:
            wrong = digits[:at] + other + digits[at + 1 :]
            with pytest.raises(voice_code.InvalidCodeError, match=rf"in group {at // 5 + 1}:"):
                voice_code.parse_code(wrong)


@given(st.integers(0, 9_999))
@settings(deadline=None)
def test_neighbours_and_groups_that_changed_places_are_found(minute: int) -> None:
    digits = voice_code.format_digits(made(NOW - minute)).replace(" ", "")
    swapped = [digits[:a] + digits[a + 1] + digits[a] + digits[a + 2 :] for a in range(29)]
    groups = [digits[at : at + 5] for at in range(0, 30, 5)]
    for a, b in combinations(range(6), 2):
        moved = list(groups)
        moved[a], moved[b] = groups[b], groups[a]
        swapped.append("".join(moved))
    for wrong in swapped:
        if wrong != digits:
            with pytest.raises(voice_code.InvalidCodeError, match="does not add up in group"):
                voice_code.parse_code(wrong)


def test_every_wrong_word_and_every_swap_is_found_in_its_group() -> None:
    words = voice_code.format_words(made()).replace(",", "").split()
    for at in range(18):
        for other in set(voice_code.WORDS) - {words[at]}:
            wrong = [*words[:at], other, *words[at + 1 :]]
            with pytest.raises(voice_code.InvalidCodeError, match=rf"in group {at // 3 + 1}:"):
                voice_code.parse_code(" ".join(wrong))
    for a, b in combinations(range(18), 2):
        moved = list(words)
        moved[a], moved[b] = words[b], words[a]
        if moved != words:
            with pytest.raises(voice_code.InvalidCodeError, match="does not add up in group"):
                voice_code.parse_code(" ".join(moved))


def test_words_are_apart_by_ear() -> None:
    assert len({word[:3] for word in voice_code.WORDS}) == len(voice_code.WORDS) == 101
    for a, b in combinations(voice_code.WORDS, 2):
        assert _distance(a, b) >= 3, (a, b)


def test_a_code_is_no_other_agents_no_other_keys_and_no_other_weeks() -> None:
    heard = voice_code.parse_code(voice_code.format_digits(made()))
    assert heard.verify_report(KEY, WHO, NOW) is not None
    assert heard.verify_report(bytes(32), WHO, NOW) is None
    assert heard.verify_report(KEY, bytes(16), NOW) is None
    assert heard.verify_report(KEY, WHO, NOW + 10_000) is None, "the same four digits of a minute"
    assert heard.verify_report(KEY, WHO, NOW - voice_code.AHEAD_MIN - 1) is None, "from the future"


@given(st.integers(0, 10**9 - 1), st.integers(0, 10**7 - 1))
@settings(deadline=None)
def test_a_guessed_proof_proves_nothing(proof: int, states: int) -> None:
    real = made()
    forged = f"{real[:8]}{states:07}{proof:09}"
    if forged != real:
        assert (
            voice_code.parse_code(voice_code.format_digits(forged)).verify_report(KEY, WHO, NOW)
            is None
        )


@given(st.text(max_size=200))
@settings(deadline=None)
def test_anything_typed_is_a_code_or_a_sentence(text: str) -> None:
    with pytest.raises(voice_code.InvalidCodeError, match=r"^(has|is|does)"):
        voice_code.parse_code(text)


def test_sentences_name_the_place() -> None:
    digits, words = voice_code.format_digits(made()), voice_code.format_words(made())
    for typed, said in {
        "": "has 0 digits in place of 30",
        digits[:-1]: "has 29 digits in place of 30: look at group 6",
        words.rsplit(" ", 1)[0]: "has 17 words in place of 18",
        f"perhaps {words}": "'perhaps' in place 1",
        "1" * 1_001: "far too long",
    }.items():
        with pytest.raises(voice_code.InvalidCodeError, match=said):
            voice_code.parse_code(typed)


def test_other_scripts_and_other_gaps_are_the_same_code() -> None:
    digits = voice_code.format_digits(made())
    arabic = digits.translate({ord(str(n)): chr(0x0660 + n) for n in range(10)})
    for typed in (arabic, digits.replace(" ", "-"), f" {digits}. "):
        assert voice_code.parse_code(typed) == voice_code.parse_code(digits)
    assert voice_code.parse_code(voice_code.format_words(made()).upper()) == voice_code.parse_code(
        digits
    )


def test_the_wire_as_it_is_spoken() -> None:
    """A code made today is understood by every later edition."""
    assert voice_code.format_digits(made()) == "72359 00003 47829 91468 50158 97012"


def _distance(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        above, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (x != y)))
    return row[-1]
