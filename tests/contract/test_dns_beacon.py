"""A beacon by DNS is read by its collector alone, and changes are noticed."""

import ipaddress

import pytest

from heliograph import dns_beacon, keys
from heliograph.voice_code import AHEAD_MIN, CLASSES, PAST_MIN, ServiceState, StatusReport
from support.values import present

AGENT, COLLECTOR = keys.SigningKey(bytes(range(32))), keys.SealingKey(bytes(range(1, 33)))
ID = keys.agent_id(AGENT.public)
KEY = AGENT.derive_shared_key(COLLECTOR.public, keys.BEACON)
NOW = 29_000_000
LIVES = {name: tuple(ServiceState)[at % 3] for at, name in enumerate(CLASSES)}
ZONE = "b.collector.example"


def name(minute: int = NOW, zone: str = ZONE) -> str:
    return dns_beacon.make_query_name(StatusReport(minute, LIVES), KEY, ID, COLLECTOR.public, zone)


def sealed(said: str) -> bytes:
    return present(dns_beacon.extract_sealed(said, ZONE))


def test_what_is_said_is_heard() -> None:
    said = dns_beacon.open_beacon(sealed(name()), COLLECTOR)
    assert said.agent == ID
    assert said.verify_report(
        COLLECTOR.derive_shared_key(AGENT.public, keys.BEACON), NOW
    ) == StatusReport(NOW, LIVES)


def test_the_name_fits_every_resolver_and_is_never_the_same_twice() -> None:
    longest = "z" * 50 + "." + "e" * 49
    asked = name(zone=longest)
    assert len(asked) <= 254
    assert max(map(len, asked.split("."))) <= 63
    assert name() != name()
    assert dns_beacon.SEALED <= 120
    with pytest.raises(ValueError, match="zone"):
        name(zone="z" * 101)


def test_a_resolver_may_change_its_letters_case() -> None:
    asked = name()
    swapped = "".join(c.upper() if at % 2 else c for at, c in enumerate(asked))
    assert sealed(swapped) == sealed(asked)


@pytest.mark.parametrize("other", ["", ZONE, f"{ZONE}.", f"www.{ZONE}", "www.example.org", "a.b"])
def test_other_names_say_nothing(other: str) -> None:
    assert dns_beacon.extract_sealed(other, ZONE) is None
    digits = f"{'1' * 63}.{'1' * 63}.{'1' * 15}.{ZONE}"
    assert dns_beacon.extract_sealed(digits, ZONE) is None


def test_what_was_changed_in_any_byte_is_refused() -> None:
    good = sealed(name())
    for at in range(len(good)):
        with pytest.raises(dns_beacon.BeaconError):
            dns_beacon.open_beacon(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :], COLLECTOR)
    for other in (good[:-1], good + b"0", b""):
        with pytest.raises(dns_beacon.BeaconError):
            dns_beacon.open_beacon(other, COLLECTOR)
    with pytest.raises(dns_beacon.BeaconError):
        dns_beacon.open_beacon(good, keys.SealingKey(bytes(32)))


def test_only_the_agent_itself_can_say_it_and_only_lately() -> None:
    said = dns_beacon.open_beacon(sealed(name()), COLLECTOR)
    other = keys.SigningKey(bytes(32)).derive_shared_key(COLLECTOR.public, keys.BEACON)
    assert said.verify_report(other, NOW) is None
    assert said.verify_report(KEY, NOW + PAST_MIN) is not None
    assert said.verify_report(KEY, NOW + PAST_MIN + 1) is None
    assert said.verify_report(KEY, NOW - AHEAD_MIN) is not None
    assert said.verify_report(KEY, NOW - AHEAD_MIN - 1) is None


def test_the_answer_is_known_to_both_and_to_nobody_else() -> None:
    first, second = sealed(name()), sealed(name())
    assert dns_beacon.make_answer(KEY, first) != dns_beacon.make_answer(KEY, second)
    other = keys.SigningKey(bytes(32)).derive_shared_key(COLLECTOR.public, keys.BEACON)
    assert dns_beacon.make_answer(KEY, first) != dns_beacon.make_answer(other, first)
    assert ipaddress.ip_address(dns_beacon.make_answer(KEY, first)).is_global
