"""resolv.conf, as resolv.conf(5) has it, and the hosts file, as people keep it."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from heliograph_agent.net.dns.system_resolver import (
    ResolvConf,
    candidate_names,
    parse_hosts,
    parse_resolv_conf,
)


def test_all_of_it() -> None:
    conf = parse_resolv_conf(
        "# made by hand\n"
        "; also a comment\n"
        "domain old.test\n"
        "nameserver 192.0.2.53\n"
        "nameserver fe80::1%eth0\n"
        "nameserver not-an-address\n"
        "nameserver 192.0.2.54\n"
        "nameserver 192.0.2.55\n"
        "search a.test. b.test\n"
        "options ndots:3 timeout:2 attempts:9 rotate use-vc ndots:x\n",
        hostname="host.corp.test",
    )
    assert conf == ResolvConf(
        servers=(("192.0.2.53", 53), ("fe80::1%eth0", 53), ("192.0.2.54", 53)),
        search=("a.test", "b.test"),
        ndots=1,  # the last word counts, and "x" is no number
        timeout_s=2,
        attempts=5,
        rotate=True,
        use_tcp=True,
    )


def test_search_path_is_the_hosts_domain_when_none_is_given() -> None:
    assert parse_resolv_conf("", hostname="host.corp.test").search == ("corp.test",)
    assert parse_resolv_conf("", hostname="host").search == ()
    assert parse_resolv_conf("domain own.test\n", hostname="host.corp.test").search == ("own.test",)


def test_candidates() -> None:
    conf = ResolvConf(search=("a.test", "b.test"), ndots=2)
    assert candidate_names("www.x", conf) == ("www.x.a.test.", "www.x.b.test.", "www.x.")
    assert candidate_names("www.x.test", conf)[0] == "www.x.test."
    assert candidate_names("www.", conf) == ("www.",)


def test_candidate_too_long_for_a_name_is_left_out() -> None:
    conf = ResolvConf(search=("x" * 63 + ".test",))
    assert candidate_names("y" * 200, conf) == ("y" * 200 + ".",)


@given(st.text(max_size=2000))
def test_any_text_is_read(text: str) -> None:
    conf = parse_resolv_conf(text)
    assert len(conf.servers) <= 3
    assert len(conf.search) <= 32
    assert 0 <= conf.ndots <= 15
    assert 1 <= conf.timeout_s <= 30
    assert 1 <= conf.attempts <= 5


PIECES = (*("nameserver", "search", "domain", "options", "ndots:", "timeout:"),
 *("attempts:99999999999", "1.2.3.4", "::1", ".", "\n", "#", ";"))  # fmt: skip
WORDS = st.sampled_from(PIECES)


@given(st.lists(WORDS, max_size=60), st.text(min_size=1, max_size=300))
def test_near_misses_are_read(words: list[str], name: str) -> None:
    conf = parse_resolv_conf(" ".join(words))
    assert all(candidate.endswith(".") for candidate in candidate_names(name, conf))


HOSTS = """
127.0.0.1\tlocalhost
# 192.0.2.1 commented.test
192.0.2.2   www.example.test www   # 192.0.2.3 trailing.test
2001:db8::2 WWW.Example.Test.
0.0.0.0 ads.example.test
not-an-address broken.test
192.0.2.2 www
"""


def test_names_and_aliases_in_any_case() -> None:
    assert parse_hosts(HOSTS, "www.example.test") == ("192.0.2.2", "2001:db8::2")
    assert parse_hosts(HOSTS, "WWW.") == ("192.0.2.2",)
    assert parse_hosts(HOSTS, "ads.example.test") == ("0.0.0.0",)


def test_what_is_not_there() -> None:
    for name in ("commented.test", "trailing.test", "broken.test", "example.test", "", "."):
        assert parse_hosts(HOSTS, name) == ()


@given(st.text(), st.text(min_size=1, max_size=20))
def test_any_text_gives_addresses_or_nothing(text: str, name: str) -> None:
    for address in parse_hosts(text, name):
        ipaddress.ip_address(address)


@given(st.integers(65, 300))
def test_number_of_addresses_is_bounded(lines: int) -> None:
    text = "\n".join(f"10.0.{n // 250}.{n % 250 + 1} many.test" for n in range(lines))
    assert len(parse_hosts(text, "many.test")) == 64
