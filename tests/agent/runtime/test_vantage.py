"""What the anchors tell of the link, case by case."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.failure import Failure, Operation
from heliograph.observation import Dns, DnsAnswer, Http, Link, Observation, Tcp, Tls
from heliograph_agent import experiments
from heliograph_agent.experiments.experiment import Target
from heliograph_agent.net import Trace
from heliograph_agent.runtime.vantage import link_of
from support.fake_net import FakeDoor, Page, World
from support.virtual_time import VirtualClock, run_virtually

TIMEOUT = Failure.GENERIC_TIMEOUT_ERROR
NO_ROUTE = Failure.NETWORK_UNREACHABLE
REFUSED = Failure.CONNECTION_REFUSED
CUT = Failure.INTERRUPTED


def lookup(anchor: str, failure: Failure | None = None) -> Observation:
    answers = () if failure else (DnsAnswer(type="A", data="192.0.2.1"),)
    return Observation(
        operation=Operation.RESOLVE,
        started_us=0,
        duration_us=1,
        failure=failure,
        endpoint=anchor,
        dns=Dns(engine="system", resolver="", name="x.test", query_type="A", answers=answers),
    )


def connect(anchor: str, failure: Failure | None = None) -> Observation:
    return Observation(
        operation=Operation.CONNECT,
        started_us=0,
        duration_us=1,
        failure=failure,
        endpoint=anchor,
        tcp=Tcp(address="192.0.2.1", port=443),
    )


def handshake(anchor: str, failure: Failure | None = None) -> Observation:
    return Observation(
        operation=Operation.TLS_HANDSHAKE,
        started_us=0,
        duration_us=1,
        failure=failure,
        endpoint=anchor,
        tls=Tls(server_name="x.test"),
    )


def page(anchor: str, status: int) -> Observation:
    return Observation(
        operation=Operation.HTTP_ROUND_TRIP,
        started_us=0,
        duration_us=1,
        endpoint=anchor,
        http=Http(method="GET", url="http://x.test/generate_204", status=status),
    )


def chain(*steps: Observation) -> list[Observation]:
    """Steps that stand on each other."""
    return [replace(step, parent=index - 1 if index else None) for index, step in enumerate(steps)]


def joined(*chains: list[Observation]) -> list[Observation]:
    """One measurement of several chains."""
    whole: list[Observation] = []
    for steps in chains:
        shift = len(whole)
        whole += [
            replace(step, parent=None if step.parent is None else step.parent + shift)
            for step in steps
        ]
    return whole


def by_address(
    failure: Failure | None = None, anchor: str = "foreign-address"
) -> list[Observation]:
    return [connect(anchor, failure)]


def by_name(failure: Failure | None = None) -> list[Observation]:
    anchor = "foreign-name"
    return chain(lookup(anchor), connect(anchor), handshake(anchor, failure))


def resolver(failure: Failure | None = None) -> list[Observation]:
    return [lookup("resolver-one", failure), lookup("resolver-two", failure)]


def captive(status: int) -> list[Observation]:
    return chain(lookup("captive-one"), connect("captive-one"), page("captive-one", status))


def domestic(failure: Failure | None = None) -> list[Observation]:
    return chain(lookup("domestic-one"), connect("domestic-one", failure))


@pytest.mark.parametrize(
    ("seen", "link"),
    [
        pytest.param([], Link.UNKNOWN, id="nothing measured"),
        pytest.param(
            joined(by_address(), by_name(), resolver(), captive(204)), Link.ONLINE, id="all is well"
        ),
        pytest.param(joined(by_address(), resolver()), Link.ONLINE, id="an address and a name"),
        pytest.param(
            joined(by_address(), by_address(NO_ROUTE, "foreign-address6"), resolver()),
            Link.ONLINE,
            id="no IPv6 is no matter",
        ),
        pytest.param(
            joined(by_address(TIMEOUT), by_address(None, "foreign-other"), resolver()),
            Link.ONLINE,
            id="one anchor dead of two",
        ),
        pytest.param(
            joined(by_address(), resolver(TIMEOUT), captive(204)),
            Link.NO_RESOLVER,
            id="addresses alive, no name resolves",
        ),
        pytest.param(
            joined(by_address(), resolver(Failure.DNS_SERVFAIL_ERROR)),
            Link.NO_RESOLVER,
            id="a resolver that only fails",
        ),
        pytest.param(
            joined(by_address(), resolver(Failure.DNS_NO_RESOLVER)),
            Link.NO_RESOLVER,
            id="the system names none",
        ),
        pytest.param(
            joined(by_address(), by_name(), resolver(CUT)), Link.ONLINE, id="names proven otherwise"
        ),
        pytest.param(
            joined(by_address(), resolver(CUT)), Link.UNKNOWN, id="names not asked to the end"
        ),
        pytest.param(by_address(), Link.UNKNOWN, id="names not asked"),
        pytest.param(
            joined(by_address(), resolver(), captive(200)), Link.CAPTIVE, id="a portal's page"
        ),
        pytest.param(
            joined(by_address(), resolver(), captive(302)), Link.CAPTIVE, id="a portal's redirect"
        ),
        pytest.param(
            joined(by_address(TIMEOUT), resolver(), captive(302)),
            Link.CAPTIVE,
            id="a portal that lets nothing else through",
        ),
        pytest.param(
            joined(by_address(), by_name(Failure.SSL_UNKNOWN_AUTHORITY), resolver(), captive(200)),
            Link.CAPTIVE,
            id="a portal that answers TLS too",
        ),
        pytest.param(
            joined(by_address(), by_name(), resolver(), captive(200)),
            Link.ONLINE,
            id="a page tampered with on a link that works",
        ),
        pytest.param(
            joined(by_address(TIMEOUT), resolver(), domestic()),
            Link.DOMESTIC_ONLY,
            id="abroad dead, at home alive",
        ),
        pytest.param(
            joined(by_address(TIMEOUT), resolver(TIMEOUT), domestic()),
            Link.DOMESTIC_ONLY,
            id="the same without a resolver",
        ),
        pytest.param(
            joined(by_address(CUT), resolver(), domestic()),
            Link.UNKNOWN,
            id="abroad not asked to the end",
        ),
        pytest.param(
            joined(by_address(TIMEOUT), by_address(CUT, "foreign-other"), domestic()),
            Link.UNKNOWN,
            id="one abroad not asked to the end",
        ),
        pytest.param(domestic(), Link.UNKNOWN, id="abroad not asked"),
        pytest.param(
            joined(by_address(NO_ROUTE), resolver(Failure.DNS_NO_RESOLVER)),
            Link.OFFLINE,
            id="no way out of this machine",
        ),
        pytest.param(
            joined(by_address(NO_ROUTE), resolver(Failure.DNS_SERVFAIL_ERROR)),
            Link.OFFLINE,
            id="no way out, and a resolver on this machine that says so",
        ),
        pytest.param(
            joined(by_address(TIMEOUT), resolver(TIMEOUT)), Link.OFFLINE, id="silence on all sides"
        ),
        pytest.param(
            joined(by_address(TIMEOUT), resolver(TIMEOUT), [connect("domestic-one", TIMEOUT)]),
            Link.OFFLINE,
            id="silence at home too",
        ),
        pytest.param(
            joined(by_address(TIMEOUT), resolver(CUT)), Link.UNKNOWN, id="silence, not heard out"
        ),
        pytest.param(by_address(TIMEOUT), Link.UNKNOWN, id="abroad silent, nothing else asked"),
        pytest.param(
            joined(by_address(TIMEOUT), resolver()),
            Link.UNKNOWN,
            id="abroad silent, but names resolve",
        ),
        pytest.param(
            joined(by_address(TIMEOUT), resolver(Failure.DNS_SERVFAIL_ERROR)),
            Link.UNKNOWN,
            id="abroad silent, the provider's resolver at a loss",
        ),
        pytest.param(
            joined(by_address(REFUSED), resolver(TIMEOUT)), Link.UNKNOWN, id="somebody refuses"
        ),
        pytest.param(
            joined(by_name(Failure.CONNECTION_RESET), resolver()),
            Link.UNKNOWN,
            id="somebody resets",
        ),
        pytest.param(
            joined([lookup("foreign-name")], resolver()), Link.UNKNOWN, id="a name is no visit"
        ),
    ],
)
def test_link(seen: list[Observation], link: Link) -> None:
    assert link_of(seen) is link


STEPS = st.lists(
    st.builds(
        Observation,
        operation=st.sampled_from(Operation),
        started_us=st.just(0),
        duration_us=st.just(1),
        failure=st.none() | st.sampled_from(Failure),
        endpoint=st.sampled_from(
            ["foreign-a", "foreign-b", "domestic-a", "resolver-a", "captive-a"]
        ),
        http=st.none()
        | st.builds(Http, method=st.just("GET"), url=st.just(""), status=st.just(200)),
    ),
    max_size=12,
)


@given(STEPS)
def test_an_interrupted_visit_makes_nobody_surer(seen: list[Observation]) -> None:
    """It may take certainty away; it makes no link online that was not, and none offline."""
    for index, step in enumerate(seen):
        if step.endpoint.startswith("foreign"):
            doubted = link_of([*seen[:index], replace(step, failure=CUT), *seen[index + 1 :]])
            assert doubted is not Link.OFFLINE
            assert doubted is not Link.ONLINE or link_of(seen) is Link.ONLINE


@given(STEPS)
def test_nothing_but_interrupted_steps_is_nothing(seen: list[Observation]) -> None:
    assert link_of([replace(x, failure=CUT) for x in seen]) is Link.UNKNOWN


@given(STEPS)
def test_no_link_is_online_without_an_anchor_abroad(seen: list[Observation]) -> None:
    failed = [
        replace(x, failure=TIMEOUT)
        if x.endpoint.startswith("foreign") and x.operation is not Operation.READ_BODY
        else x
        for x in seen
        if not (x.endpoint.startswith("foreign") and x.operation is Operation.READ_BODY)
    ]
    assert link_of(failed) is not Link.ONLINE


@pytest.mark.parametrize(
    ("world", "link"),
    [
        pytest.param(World(), Link.UNKNOWN, id="everything refuses"),
        pytest.param(
            World(
                names={
                    "connectivitycheck.gstatic.com": ("192.0.2.1",),
                    "www.example.com": ("192.0.2.9",),
                },
                ports={("1.1.1.1", 443): None, ("192.0.2.1", 80): None},
                pages={"http://connectivitycheck.gstatic.com/generate_204": Page(status=204)},
            ),
            Link.ONLINE,
            id="online",
        ),
        pytest.param(
            World(
                names={"connectivitycheck.gstatic.com": ("192.0.2.1",)},
                ports={("1.1.1.1", 443): None, ("192.0.2.1", 80): None},
                pages={"http://connectivitycheck.gstatic.com/generate_204": Page(status=302)},
            ),
            Link.CAPTIVE,
            id="captive",
        ),
    ],
)
def test_the_shipped_anchors_are_understood(world: World, link: Link) -> None:
    """Experiment, list of anchors and this module speak of the same things."""
    from heliograph.services import shipped

    anchors = shipped().get("anchors")
    assert anchors is not None

    async def story(clock: VirtualClock) -> Link:
        experiment = experiments.by_name("connectivity")
        trace = Trace(clock)
        net = FakeDoor(world, clock).bind(trace)
        await experiment.run(Target(text="anchors", service=anchors), experiment.config(), net)
        return link_of(trace.observations)

    assert run_virtually(story) is link
