"""Address literals, address:port and URLs as users write them."""

import pytest

from heliograph.address import parse_host_port, parse_https_host_port, parse_literal


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("127.0.0.1:5353", ("127.0.0.1", 5353)),
        ("9.9.9.9", ("9.9.9.9", 53)),
        ("[::1]:5353", ("::1", 5353)),
        ("2620:fe::fe", ("2620:fe::fe", 53)),
        ("[2620:fe::fe]", ("2620:fe::fe", 53)),
    ],
)
def test_host_port(text: str, pair: tuple[str, int]) -> None:
    assert parse_host_port(text, "net.resolver") == pair


@pytest.mark.parametrize(
    "text", ["", ":53", "dns.test:53", "1.2.3.4:", "1.2.3.4:0", "1.2.3.4:70000"]
)
def test_mistakes_name_their_place(text: str) -> None:
    with pytest.raises(ValueError, match=r"net\.resolver: "):
        parse_host_port(text, "net.resolver")


@pytest.mark.parametrize(
    ("url", "pair"),
    [
        ("https://dns.test/dns-query", ("dns.test", 443)),
        ("https://[::1]:8443/q", ("::1", 8443)),
        ("https://9.9.9.9", ("9.9.9.9", 443)),
    ],
)
def test_https_host_port(url: str, pair: tuple[str, int]) -> None:
    assert parse_https_host_port(url, "net.doh") == pair


@pytest.mark.parametrize(
    "url",
    [
        "", "http://x/", "https://", "https://x:y/", "https://x:70000/", "https://[::1/",
        "https://x/a b",
    ],
)  # fmt: skip
def test_what_is_no_https_url_names_its_place(url: str) -> None:
    with pytest.raises(ValueError, match=r"net\.doh: .*is no https URL"):
        parse_https_host_port(url, "net.doh")


def test_literal() -> None:
    assert parse_literal("[2001:DB8::1]") == "2001:db8::1"
    assert parse_literal("www.example.test") == ""
