"""The hosts file, as people keep it."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from heliograph_agent.net.dns.system_resolver import parse_hosts

TEXT = """
127.0.0.1\tlocalhost
# 192.0.2.1 commented.test
192.0.2.2   www.example.test www   # 192.0.2.3 trailing.test
2001:db8::2 WWW.Example.Test.
0.0.0.0 ads.example.test
not-an-address broken.test
192.0.2.2 www
"""


def test_names_and_aliases_in_any_case() -> None:
    assert parse_hosts(TEXT, "www.example.test") == ("192.0.2.2", "2001:db8::2")
    assert parse_hosts(TEXT, "WWW.") == ("192.0.2.2",)
    assert parse_hosts(TEXT, "ads.example.test") == ("0.0.0.0",)


def test_what_is_not_there() -> None:
    for name in ("commented.test", "trailing.test", "broken.test", "example.test", "", "."):
        assert parse_hosts(TEXT, name) == ()


@given(st.text(), st.text(min_size=1, max_size=20))
def test_any_text_gives_addresses_or_nothing(text: str, name: str) -> None:
    for address in parse_hosts(text, name):
        ipaddress.ip_address(address)


@given(st.integers(65, 300))
def test_number_of_addresses_is_bounded(lines: int) -> None:
    text = "\n".join(f"10.0.{n // 250}.{n % 250 + 1} many.test" for n in range(lines))
    assert len(parse_hosts(text, "many.test")) == 64
