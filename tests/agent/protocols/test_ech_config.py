"""ECHConfigList: the first usable key is taken, a broken list is reported."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph_agent.protocols.ech_config import find_ech_parameter, find_usable, parse_config_list
from support.ech_server import encode_config_list, in_base64, published
from support.values import present

PUBLIC = bytes(range(32))
GOOD = published(PUBLIC, "public.test")
# As crypto.cloudflare.com published it in 2024.
SEEN = (
    "AEX+DQBBpQAgACB/RU5hAC5mXe3uOZtNY58Bc8UU1cd4QBxQzqirMlWZeQAEAAEAAQASY2xvdWRmbGFyZS1lY2guY29t"
    "AAA="
)


def changed(at: int, *values: int) -> bytes:
    return GOOD[:at] + bytes(values) + GOOD[at + len(values) :]


def test_a_key_as_it_stands_in_the_dns_is_read() -> None:
    config = present(parse_config_list(SEEN))
    assert (config.public_name, config.config_id, config.max_name) == ("cloudflare-ech.com", 165, 0)
    assert len(config.public_key) == 32
    assert base64.b64decode(SEEN)[2:] == config.wire


@pytest.mark.parametrize(
    "bad",
    [
        changed(0, 0xFE, 0x0A),  # an older draft's version
        changed(5, 0x00, 0x10),  # another KEM: the curve P-256
        changed(43, 0x00, 0x02),  # another KDF
        published(PUBLIC, "no name"),
        GOOD[:3] + bytes((GOOD[3] + 4,)) + GOOD[4:-2] + b"\x00\x04\xff\xff\x00\x00",  # mandatory
    ],
    ids=["version", "kem", "kdf", "name", "extension"],
)
def test_an_unusable_one_is_passed_over_for_the_next(bad: bytes) -> None:
    assert find_usable(encode_config_list([bad])) is None
    found = present(find_usable(encode_config_list([bad, GOOD])))
    assert found.wire == GOOD


@pytest.mark.parametrize("text", ["!", "AAA", "AAE=", in_base64(GOOD)[:-8], in_base64(GOOD + b"x")])
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_config_list(text)


@given(st.binary(max_size=120))
def test_nothing_breaks_it(data: bytes) -> None:
    for wire in (data, encode_config_list([data]), encode_config_list([GOOD[:4] + data])):
        try:
            find_usable(wire)
        except ValueError:
            continue


@pytest.mark.parametrize(
    ("record", "found"),
    [
        (f'1 . alpn="h3,h2" ipv4hint="192.0.2.1" ech="{SEEN}"', SEEN),
        (f"1 . ech={SEEN} ipv6hint=2001:db8::1", SEEN),
        ('1 . alpn="h2"', ""),
        ("0 other.test.", ""),
        ('1 . mech="AAAA"', ""),
    ],
)
def test_the_parameter_of_an_https_record(record: str, found: str) -> None:
    assert find_ech_parameter(record) == found
