"""Cookies of one visit: sent back where a browser would, and nowhere else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph_agent.experiments.web import MAX_COOKIES, MAX_HEADER, CookieJar

HERE = "https://www.example.test/shop/in?x=1"


@pytest.mark.parametrize(
    ("line", "url", "sent"),
    [
        ("a=1", "https://www.example.test/shop/", "a=1"),
        ("a=1", "https://www.example.test/", ""),  # the default path is /shop
        ("a=1; Path=/", "https://www.example.test/", "a=1"),
        ("a=1; Path=/shop", "https://www.example.test/shopping", ""),
        ("a=1; Path=/", "https://example.test/", ""),
        ("a=1; Path=/", "https://other.www.example.test/", ""),
        ("a=1; Path=/; Domain=example.test", "https://deep.example.test/", "a=1"),
        ("a=1; Path=/; domain=.Example.test", "https://example.test/", "a=1"),
        ("a=1; Path=/; Domain=test", "https://www.example.test/", ""),
        ("a=1; Path=/; Domain=evil.test", "https://evil.test/", ""),
        ("a=1; Path=/; Domain=www.example.test", "https://notwww.example.test/", ""),
        ("a=1; Path=/; Secure", "http://www.example.test/", ""),
        ("a=1; Path=/", "http://www.example.test/", "a=1"),
        ("a=b=c; Path=/", "https://www.example.test/", "a=b=c"),
        ("a=1; Path=/; Max-Age=0", "https://www.example.test/", ""),
        ("a=1; Path=/; Max-Age=-1", "https://www.example.test/", ""),
        ("a=1; Path=/; Max-Age=60", "https://www.example.test/", "a=1"),
        ("=1; Path=/", "https://www.example.test/", ""),
        ("a; Path=/", "https://www.example.test/", ""),
        ("a=1\r\nHost: evil; Path=/", "https://www.example.test/", ""),
        ("a=ж; Path=/", "https://www.example.test/", ""),
    ],
)
def test_a_cookie_goes_where_it_belongs(line: str, url: str, sent: str) -> None:
    jar = CookieJar()
    jar.add(HERE, [line])
    assert jar.format_header(url) == sent


def test_a_cookie_is_replaced_and_deleted_by_its_name_and_place() -> None:
    jar = CookieJar()
    jar.add(HERE, ["a=1; Path=/", "b=2; Path=/shop", "a=3; Path=/"])
    assert jar.format_header(HERE) == "b=2; a=3"
    jar.add(HERE, ["a=; Path=/; Max-Age=0"])
    assert jar.format_header(HERE) == "b=2"


def test_an_address_has_no_hosts_below_it() -> None:
    jar = CookieJar()
    jar.add("http://192.0.2.1/", ["a=1; Domain=2.1"])
    assert jar.format_header("http://192.0.2.1/") == ""


@given(st.lists(st.text(max_size=200), max_size=80))
def test_whatever_a_server_says_the_jar_stays_small(lines: list[str]) -> None:
    jar = CookieJar()
    jar.add(HERE, lines)
    jar.add(HERE, [f"n{n}={'x' * 400}; Path=/" for n in range(2 * MAX_COOKIES)])
    header = jar.format_header(HERE)
    assert len(header) <= MAX_HEADER
    assert header.isascii()
    assert header.isprintable()
