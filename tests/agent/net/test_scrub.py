"""No address of the volunteer in any text, in any of the forms pages print it in."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.failure import Operation
from heliograph.observation import Certificate, Dns, DnsAnswer, Http, Observation, Tcp, Tls
from heliograph_agent.net.scrub import MARK, Scrubber

OWN4, OWN6 = "198.51.100.23", "2001:db8:1::abcd"
SCRUB = Scrubber([OWN4, OWN6])


@pytest.mark.parametrize(
    "text",
    [
        OWN4, "host198-51-100-23.provider.test".replace("host", "host-"),
        "23.100.51.198.in-addr.arpa", "3325256727", "c6336417", OWN6, OWN6.upper(),
        "2001:0db8:0001:0000:0000:0000:0000:abcd", "2001-db8-1--abcd", "2001%3Adb8%3A1%3A%3Aabcd",
        "[2001:db8:1::abcd]:443",
    ],
)  # fmt: skip
def test_own_address_goes_in_every_form(text: str) -> None:
    cleaned = SCRUB.scrub_own(f"ip={text};")
    assert MARK in cleaned
    for form in (OWN4, OWN6, "198-51", "abcd", "ABCD", "3325256727", "c6336417"):
        assert form not in cleaned


def test_what_is_not_ours_stays() -> None:
    for text in ("198.51.100.2", "198.51.100.230", "1198.51.100.23x", "12:30:45", "version 1.2.3"):
        assert SCRUB.scrub_own(text) == text
    assert Scrubber([]).scrub_own(OWN4) == OWN4


def test_page_text_keeps_no_address_at_all() -> None:
    assert SCRUB.scrub_page("Your IP 203.0.113.9 is blocked") == f"Your IP {MARK} is blocked"
    assert SCRUB.scrub_page("you are 2001:db8:f::9!") == f"you are {MARK}!"
    assert SCRUB.scrub_page("nginx/1.26.3 at 12:30") == "nginx/1.26.3 at 12:30"


@pytest.mark.parametrize(
    ("url", "cleaned"),
    [
        ("http://10.10.34.36/?type=x", "http://10.10.34.36/?type=x"),
        ("http://10.10.34.36/?ip=203.0.113.9", f"http://10.10.34.36/?ip={MARK}"),
        ("http://blocked.test/u/2001:db8::9#203.0.113.9", f"http://blocked.test/u/{MARK}#{MARK}"),
        (f"http://{OWN4}:8080/login", f"http://{MARK}:8080/login"),
        ("/relative?c=203.0.113.9", f"/relative?c={MARK}"),
        ("http://[bad", "http://[bad"),
        ("https://www.example.test:8443/a?b=c#d", "https://www.example.test:8443/a?b=c#d"),
        ("", ""),
    ],
)
def test_url_keeps_its_host(url: str, cleaned: str) -> None:
    assert SCRUB.scrub_url(url) == cleaned


def test_every_text_of_an_observation() -> None:
    certificate = Certificate(
        sha256="00", spki_sha256="00", subject=f"CN={OWN4}", issuer=f"CN={OWN6}", not_before_s=0,
        not_after_s=0,
    )  # fmt: skip
    seen = Observation(
        operation=Operation.CONNECT, started_us=0, duration_us=0, failure_detail=f"OSError {OWN4}",
        dns=Dns(
            engine="udp", resolver=f"{OWN4}:53", name=OWN6, query_type="A",
            answers=(DnsAnswer(type="A", data=OWN4), DnsAnswer(type="TXT", data='"203.0.113.9"')),
        ),
        tcp=Tcp(address=OWN4, port=1),
        tls=Tls(server_name="www.example.test", chain=(certificate,)),
        http=Http(
            method="GET", url=f"http://{OWN4}/", title=OWN4, server=OWN6,
            location=f"http://x.test/?{OWN4}",
        ),
    )  # fmt: skip
    text = repr(SCRUB.scrub_observation(seen))
    assert OWN4 not in text
    assert OWN6 not in text
    assert "203.0.113.9" not in text


@given(st.ip_addresses(), st.text(max_size=30), st.text(max_size=30))
def test_an_own_address_never_survives(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, before: str, after: str
) -> None:
    cleaned = Scrubber([str(address)]).scrub_own(f"{before} {address} {after}")
    assert f" {address} " not in cleaned or str(address) in before + after


@given(st.text(max_size=200))
def test_text_without_digits_and_colons_is_untouched(text: str) -> None:
    plain = "".join(c for c in text if not c.isdigit() and c not in ":%")
    assert SCRUB.scrub_page(plain) == plain
