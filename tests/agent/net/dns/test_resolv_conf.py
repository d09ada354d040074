"""resolv.conf, as resolv.conf(5) has it."""

from hypothesis import given
from hypothesis import strategies as st

from heliograph_agent.net.dns.system_resolver import ResolvConf, candidate_names, parse_resolv_conf


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
