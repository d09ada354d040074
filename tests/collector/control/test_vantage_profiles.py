"""Streams of measurements through the production's assessor: whose lie is it?"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from heliograph.observation import DnsAnswer, Link
from heliograph_collector.control import Assessor, vantage_memory
from heliograph_collector.control.vantage_facts import AnswerKind, ChainFact, VantageFacts
from heliograph_collector.control.vantage_profiles import VANTAGES_ASKED, VantageProfiles
from heliograph_collector.judge import judge
from heliograph_collector.model.control_look import VantageProfile
from heliograph_collector.model.records import (
    JudgedMeasurement,
    ReceivedMeasurement,
    VerdictState,
)
from heliograph_collector.model.seniority import Seniority
from support.control_records import Steps, build_control, overall
from support.vantage_streams import NAMES, assess, controls, measure, page, states_of

ANCHOR_NAMES = ("www.gstatic.com", "cp.cloudflare.com")
SCANNER = "CN=Cautious Scanner Root,O=Cautious"  # of no list of products
CENSOR = "CN=National Safety Root,O=Ministry"
BLOCKED = VerdictState.BLOCKED


def forged(name: str, issuer: str) -> str:
    return f"ssl_unknown_authority key-{name}-{issuer[3:6]} {issuer} for {name}"


def anchors(minute: float, nym: str = "volunteer", tls: str = "", **facts: Any) -> Any:
    """The anchors, whose certificates are the issuer's in `tls`, if one is given."""
    steps = {
        f"foreign-{n}": page(n, f"5.6.7.{i}", forged(n, tls) if tls else "ok")
        for i, n in enumerate(ANCHOR_NAMES)
    }
    facts = {"experiment": "connectivity", "service": "anchors", **facts}
    return measure("anchors", steps, minute, nym, **facts)


def visits(
    minute: float, nym: str, issuer: str, forged_names: Sequence[str]
) -> list[ReceivedMeasurement]:
    return [
        measure(n, page(n, f"9.8.7.{i}", forged(n, issuer) if n in forged_names else "ok"),
                minute, nym)
        for i, n in enumerate(NAMES)
    ]  # fmt: skip


def draw_facts(drawn: random.Random) -> VantageFacts:
    def choose(values: Sequence[Any]) -> dict[str, Any]:
        return {drawn.choice("abcdef"): drawn.choice(values) for _ in range(drawn.randrange(3))}

    chains = (ChainFact(is_verified=True), ChainFact(issuer="i", leaf="l"), ChainFact(leaf="m"))
    return VantageFacts(
        chains=choose(chains),
        answers=choose(list(AnswerKind)),
        sealed_names=frozenset(choose("x")),
        neutral_names=frozenset(choose("x")),
        resolver_network=drawn.choice(("", "AS1", "AS2")),
        passed_hellos=frozenset(drawn.choices(vantage_memory.HELLO_SIZES, k=drawn.randrange(2))),
    )


@pytest.mark.parametrize("kept", [4, vantage_memory.NAMES_KEPT])
def test_an_unchanged_memory_equals_a_recomputed_one(
    kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = random.Random(20)
    monkeypatch.setattr(vantage_memory, "NAMES_KEPT", kept)
    memory, changes = vantage_memory.VantageMemory("KZ", 1), set()
    for _ in range(500):
        facts = draw_facts(drawn)
        monkeypatch.setattr(vantage_memory, "extract_facts", lambda _, facts=facts: facts)
        before = memory._summarize()
        is_changed = memory.update(anchors(drawn.randrange(600)))
        found = (memory.own_issuer, memory.private_issuers, memory.foreign_leaves)
        selection, summary = memory.sees_selection, memory._summary
        memory._conclude_from_chains()
        assert found == (memory.own_issuer, memory.private_issuers, memory.foreign_leaves)
        assert (selection, summary) == (memory.sees_selection, memory._summarize())
        assert is_changed == (before != summary)
        changes.add(is_changed)
    assert changes == {False, True}


def count_blocked(judged: Sequence[JudgedMeasurement]) -> int:
    return sum(v.state is BLOCKED for _, verdicts in judged for v in verdicts)


def read_profile(*records: ReceivedMeasurement) -> VantageProfile:
    profiles = VantageProfiles()
    for record in records:
        profiles.update(record)
    return profiles.profile_of(records[-1])


def crowd(issuer: str, names: Sequence[str], nyms: Iterable[str], **how: Any) -> Any:
    """Volunteers whose anchors verify, and who meet the issuer at some names."""
    records = []
    for nym in nyms:
        records += [anchors(0, nym), *visits(1, nym, issuer, names)]
    return [replace(r, **how) for r in records]


def test_scanner_that_decrypts_everything_is_of_the_machine() -> None:
    """A scanner that decrypts everything belongs to the machine.

    The same product runs on most machines of the network, and is on no list.
    """
    stream = []
    for nym in ("a", "b", "c", "d"):
        stream += [anchors(0, nym, SCANNER), *visits(1, nym, SCANNER, NAMES)]
    judged = assess(controls(0), stream)
    assert count_blocked(judged) == 0
    assert {overall(j)[1] for j in judged if j[0].measurement.service == ""} == {
        "tls.own_interceptor"
    }


def test_office_that_spares_banks_is_no_censor() -> None:
    stream = []
    for nym in ("a", "b", "c"):
        stream += [anchors(0, nym, SCANNER), *visits(1, nym, SCANNER, NAMES[:4])]
    assert count_blocked(assess(controls(0), stream)) == 0


def test_scanner_at_some_names_of_few_is_not_the_networks() -> None:
    """A school filters by name, but the rest of its network meets no such issuer."""
    schools = crowd(SCANNER, NAMES[:2], ["s1", "s2", "s3"])
    homes = crowd(SCANNER, (), [f"h{i}" for i in range(4)])
    assert count_blocked(assess(controls(0), homes, schools)) == 0
    assert count_blocked(assess(controls(0), schools[:12])) == 0, "two are too few"


def test_national_interceptor_is_found_by_several_vantages() -> None:
    """A national interceptor is found by several vantages.

    Verdicts from before the third one are renewed.
    """
    blocks = [crowd(CENSOR, NAMES[:2], [nym]) for nym in ("a", "b", "c")]
    judged = assess(controls(0), *blocks)
    assert states_of(judged, *NAMES[:2]) == {BLOCKED}
    assert states_of(judged, *NAMES[2:]) == {VerdictState.REACHABLE}
    assert len([j for j in judged if overall(j)[0] is BLOCKED]) == 6


@pytest.mark.parametrize(
    "how",
    [{"prefix": "one"}, {"seniority": Seniority.YOUNG}],
    ids=["one prefix", "young keys"],
)
def test_crowd_of_keys_makes_no_issuer_the_states(how: dict[str, Any]) -> None:
    crowd_records = crowd(SCANNER, NAMES[:2], [f"x{i}" for i in range(9)], **how)
    victim = crowd(SCANNER, NAMES[:2], ["victim"])
    assert count_blocked(assess(controls(0), crowd_records, victim)) == 0


@pytest.mark.parametrize(
    "how",
    [{"prefix": "one"}, {"seniority": Seniority.YOUNG}],
    ids=["one prefix", "young keys"],
)
def test_crowd_of_keys_hides_no_state(how: dict[str, Any]) -> None:
    liars = crowd(CENSOR, (), [f"x{i}" for i in range(9)], **how)
    honest = crowd(CENSOR, NAMES[:2], ["a", "b", "c"])
    assert count_blocked(assess(controls(0), liars, honest)) >= 6


def test_issuer_that_a_control_abroad_met_is_of_servers() -> None:
    """An authority of one country that browsers do not trust signs for its banks."""
    known = build_control(
        page("post.example", "9.9.9.9", forged("post.example", CENSOR)), country="DE"
    )
    assert count_blocked(assess([*controls(0), known], crowd(CENSOR, NAMES[:2], "abc"))) == 0


NOTICE = "ssl_invalid_hostname key-of-notice CN=R11,O=Public CA for notices.example"


def misled(minute: float, nym: str, name: str) -> ReceivedMeasurement:
    """Return a result whose resolver gives a wrong host, unlike an encrypted lookup."""
    address = f"9.8.7.{NAMES.index(name)}"
    sealed: Steps = [
        {f"doh A {name}": address},
        {f"connect {address}": "ok"},
        {f"tls {name}": "ok"},
    ]
    return measure(name, [*page(name, "9.9.9.9", NOTICE), *sealed], minute, nym)


@pytest.mark.parametrize(
    ("names", "nyms", "blocked_count"),
    [(NAMES[:3], "abc", 9), (NAMES[:1], "abcdef", 0), (NAMES[:2], "abcdef", 0), (NAMES, "ab", 0)],
    ids=["host of notices", "old record", "two old records", "too few"],
)
def test_certificate_under_many_names_is_of_a_host_of_notices(
    names: Sequence[str], nyms: str, blocked_count: int
) -> None:
    """An old record looks the same for one name (ooni/pipeline#92)."""
    stream = [anchors(0, nym) for nym in nyms]
    stream += [misled(1, nym, name) for nym in nyms for name in names]
    judged = assess(controls(0), [replace(r, prefix=r.pseudonym) for r in stream])
    assert count_blocked(judged) == blocked_count


def test_self_signed_certificate_of_one_server_is_of_no_network() -> None:
    own = f"ssl_unknown_authority key CN={NAMES[0]}"
    stream = [
        r
        for nym in "abc"
        for r in (anchors(0, nym), measure(NAMES[0], page(NAMES[0], "9.8.7.0", own), 1, nym))
    ]
    assert count_blocked(assess(controls(0), stream)) == 0


def test_advert_blocker_is_of_the_house() -> None:
    steps = {n: f"9.8.7.{i}" for i, n in enumerate(NAMES)} | {NAMES[0]: "0.0.0.0"}
    stream = [anchors(0)]
    for name, address in steps.items():
        here = page(name, address) if address != "0.0.0.0" else [
            {f"system A {name}": address}, {"connect 0.0.0.0": "connection_refused"},
        ]  # fmt: skip
        stream.append(measure(name, here, 1))
    judged = assess(controls(0), stream)
    assert count_blocked(judged) == 0
    assert states_of(judged, *NAMES[1:]) == {VerdictState.REACHABLE}


TUNNEL: Steps = [
    {"system A news.example": {"answers": "10.192.0.7", "resolver": "public"}},
    {"doh A news.example": "9.8.7.0"},
    {"connect 10.192.0.7": "generic_timeout_error"},
]


@pytest.mark.parametrize("network", ["198.18.0", "10.192.0"])
def test_tunnel_answers_for_its_own_machine(network: str) -> None:
    """Tor makes addresses up in 10.192/10, other tunnels in 198.18/15."""
    steps = {f"foreign-{n}": page(n, f"{network}.{i}") for i, n in enumerate(ANCHOR_NAMES)}
    own = measure("anchors", steps, 0, experiment="connectivity", service="anchors")
    assert read_profile(own).fake_addresses is True
    assert count_blocked(assess(controls(0), [own, measure(NAMES[0], TUNNEL, 1)])) == 0
    assert count_blocked(assess(controls(0), [anchors(0), measure(NAMES[0], TUNNEL, 1)])) == 1


DENIED = [{"system A news.example": "dns_nxdomain_error"}, {"doh A news.example": "9.8.7.0"}]


def test_resolver_of_allowed_names_says_nothing_of_one_name() -> None:
    denied = {
        f"foreign-{n}": [{f"system A {n}": "dns_nxdomain_error"}, {f"doh A {n}": "5.6.7.8"}]
        for n in ANCHOR_NAMES
    }
    own = measure("anchors", denied, 0, experiment="connectivity", service="anchors")
    assert count_blocked(assess(controls(0), [own, measure(NAMES[0], DENIED, 1)])) == 0
    late = assess(controls(0), [measure(NAMES[0], DENIED, 1)], [own])
    assert count_blocked(late) == 0, "what is learned later corrects"


def test_restarted_assessor_knows_who_lies() -> None:
    restarted = Assessor(judge)
    restarted.restore([*crowd(CENSOR, NAMES[:1], "abc"), *controls(0)])
    visit = visits(2, "a", CENSOR, NAMES[:1])[0]
    assert count_blocked(restarted.assess([*controls(2), visit])) == 1


def test_resolver_that_lies_about_blocked_names_alone_is_found() -> None:
    judged = assess(controls(0), [anchors(0), measure(NAMES[0], DENIED, 1)])
    assert count_blocked(judged) == 1


def test_provider_that_answers_for_missing_names_blocks_none() -> None:
    """A provider that answers for missing names blocks none.

    Its advertisement page answers for names that do not exist, here and everywhere.
    """
    gone = build_control(
        [{"system A gone.example": "dns_nxdomain_error"}], target="https://gone.example/"
    )
    other = "ssl_invalid_hostname key-ads CN=Public CA for ads.example"
    here = page("gone.example", "7.7.7.7", other)
    assert count_blocked(assess([gone], [anchors(0), measure("gone.example", here, 1)])) == 0


def test_portal_of_a_hotel_answers_for_all_until_the_login() -> None:
    """A hotel's portal answers for all sites until the login.

    Its page for known pages passes, so the agent takes the link for online.
    """
    portal = "ssl_unknown_authority key-hotel CN=wifi.hotel.example for wifi.hotel.example"
    steps = {f"foreign-{n}": page(n, "5.6.7.8", portal) for n in ANCHOR_NAMES}
    before = measure("anchors", steps, 0, experiment="connectivity", service="anchors")
    page_of_portal = portal.replace("unknown_authority", "invalid_hostname")
    stream = [before]
    stream += [measure(n, page(n, f"9.8.7.{i}", page_of_portal), 1) for i, n in enumerate(NAMES)]
    judged = assess(controls(0), stream)
    assert count_blocked(judged) == 0
    assert {overall(j)[1] for j in judged[1:]} == {"link.captive"}
    after = [anchors(30), measure(NAMES[0], page(NAMES[0], "9.8.7.0", "connection_reset"), 31)]
    assert count_blocked(assess(controls(0), stream, controls(31), after)) == 1


def whoami(nym: str = "volunteer", network: str = "192.0.2.0/24") -> ReceivedMeasurement:
    steps = {"whoami_system": [{"system A whoami.example": "192.0.2.0"}]}
    record = measure(NAMES[4], steps, 0, nym, experiment="dns_integrity")
    (lookup,) = record.measurement.observations
    assert lookup.dns is not None
    answer = DnsAnswer(type="A", data=network)
    lookup = replace(lookup, dns=replace(lookup.dns, answers=(answer,)))
    return replace(record, measurement=replace(record.measurement, observations=(lookup,)))


def test_profile_knows_the_resolvers_network_and_ends_with_the_epoch() -> None:
    assert read_profile(whoami()).resolver_network == "192.0.2.0/24"
    moved = measure(NAMES[0], DENIED, 1, epoch="e2")
    assert read_profile(whoami(), moved).resolver_network == ""


@pytest.mark.parametrize(
    ("others", "networks", "blocked"),
    [
        ([page(NAMES[0], "9.8.7.0")] * 3, ["192.0.2.0/24"] * 3, 0),
        ([page(NAMES[0], "9.8.7.0")] * 3, ["192.0.2.0/24"] * 2 + ["8.8.8.0/24"], 1),
        ([page(NAMES[0], "9.8.7.0")] * 3 + [DENIED], ["192.0.2.0/24"] * 4, 2),
    ],
    ids=["a school denies", "too few ask the same resolver", "the resolver lies to two"],
)
def test_house_denies_what_the_same_resolver_tells_others(
    others: list[Steps], networks: list[str], blocked: int
) -> None:
    stream = [whoami()]
    for i, (steps, network) in enumerate(zip(others, networks, strict=True)):
        stream += [whoami(f"n{i}", network), measure(NAMES[0], steps, 1, f"n{i}")]
    assert count_blocked(assess(controls(0), [*stream, measure(NAMES[0], DENIED, 2)])) == blocked


def test_memory_is_bounded_and_ends_after_thirty_days() -> None:
    half_a_month = 15 * 24 * 60
    month = 2 * half_a_month
    first = anchors(0, tls=SCANNER)
    profiles = VantageProfiles(observations=20)
    profiles.update(first)
    assert profiles.profile_of(first).own_interceptor_issuer == SCANNER
    seen = page(NAMES[0], "9.8.7.0", forged(NAMES[0], SCANNER))
    profiles.update(measure(NAMES[0], seen, half_a_month))
    assert profiles.profile_of(first).own_interceptor_issuer == SCANNER
    profiles.update(measure(NAMES[0], seen, half_a_month + 1))
    assert profiles.profile_of(first).own_interceptor_issuer == "", "known for 15 days"
    profiles.update(anchors(month + 2, "other"))
    assert profiles.profile_of(first) == VantageProfile(), "silent for 15 days"
    for i in range(200):
        profiles.update(anchors(month + 2, f"n{i}"))
    assert profiles.count_vantages() < 60
    wide = {f"foreign-{i}": page(f"n{i}.example", "5.6.7.8") for i in range(500)}
    profiles.update(measure("anchors", wide, month + 2, experiment="connectivity"))
    assert profiles.count_vantages() > 0


def test_scanner_of_two_names_that_anchors_show_is_of_the_machine() -> None:
    records = [anchors(0, tls=SCANNER), *visits(1, "volunteer", SCANNER, NAMES[:2])[:2]]
    assert read_profile(*records).own_interceptor_issuer == SCANNER


def test_crowd_of_keys_or_epochs_displaces_nobody() -> None:
    profiles = VantageProfiles()
    for record in [*crowd(CENSOR, NAMES[:1], "abc"), *crowd(CENSOR, (), "d")]:
        profiles.update(record)
    for i in range(VANTAGES_ASKED):
        profiles.update(replace(anchors(2, f"x{i}"), seniority=Seniority.NEW))
    victim = visits(3, "a", CENSOR, NAMES[:1])[0]
    for i in range(VANTAGES_ASKED):
        profiles.update(anchors(2, "e", epoch=f"e{i}"))
    assert profiles.profile_of(victim).shared_issuers == {CENSOR}
    assert profiles.count_vantages() < VANTAGES_ASKED + 20


def test_offline_results_tell_nothing() -> None:
    assert read_profile(anchors(0, tls=SCANNER, link=Link.OFFLINE)) == VantageProfile()
