"""The link state that anchors show, case by case."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.failure import Failure, Operation
from heliograph.observation import Dns, DnsAnswer, Http, Link, Observation, Tcp, Tls
from heliograph_agent import experiments
from heliograph_agent.experiments.experiment import Target
from heliograph_agent.net import StepTrace
from heliograph_agent.runtime.link import classify_link
from support.fake_net import FakeDoor, Page, World
from support.steps import join_chains, make_chain, make_step
from support.virtual_time import VirtualClock, run_virtually

TIMEOUT = Failure.GENERIC_TIMEOUT_ERROR
NO_ROUTE = Failure.NETWORK_UNREACHABLE
REFUSED = Failure.CONNECTION_REFUSED
SERVFAIL = Failure.DNS_SERVFAIL_ERROR
CUT = Failure.INTERRUPTED


def lookup(anchor: str, failure: Failure | None = None) -> Observation:
    answers = () if failure else (DnsAnswer(type="A", data="192.0.2.1"),)
    dns = Dns(engine="system", resolver="", name="x.test", query_type="A", answers=answers)
    return make_step(Operation.RESOLVE, failure, anchor, dns=dns)


def connect(anchor: str, failure: Failure | None = None) -> Observation:
    tcp = Tcp(address="192.0.2.1", port=443)
    return make_step(Operation.CONNECT, failure, anchor, tcp=tcp)


def handshake(anchor: str, failure: Failure | None = None) -> Observation:
    return make_step(Operation.TLS_HANDSHAKE, failure, anchor, tls=Tls(server_name="x.test"))


def page(anchor: str, status: int) -> Observation:
    http = Http(method="GET", url="http://x.test/generate_204", status=status)
    return make_step(Operation.HTTP_ROUND_TRIP, None, anchor, http=http)


def by_address(failure: Failure | None = None, name: str = "foreign-address") -> list[Observation]:
    return [connect(name, failure)]


def by_name(failure: Failure | None = None) -> list[Observation]:
    anchor = "foreign-name"
    return make_chain(lookup(anchor), connect(anchor), handshake(anchor, failure))


def resolver(failure: Failure | None = None) -> list[Observation]:
    return [lookup("resolver-one", failure), lookup("resolver-two", failure)]


def captive(status: int) -> list[Observation]:
    return make_chain(lookup("captive-one"), connect("captive-one"), page("captive-one", status))


def domestic(failure: Failure | None = None) -> list[Observation]:
    return make_chain(lookup("domestic-one"), connect("domestic-one", failure))


# What was measured → the chains of its steps, and the link that they show.
LINKS: dict[str, tuple[list[list[Observation]], Link]] = {
    "nothing": ([], Link.UNKNOWN),
    "everything works": ([by_address(), by_name(), resolver(), captive(204)], Link.ONLINE),
    "an address and a name": ([by_address(), resolver()], Link.ONLINE),
    "no IPv6": ([by_address(), by_address(NO_ROUTE, "foreign-address6"), resolver()], Link.ONLINE),
    "one of two": ([by_address(TIMEOUT), by_address(None, "foreign-b"), resolver()], Link.ONLINE),
    "resolvers silent": ([by_address(), resolver(TIMEOUT), captive(204)], Link.NO_RESOLVER),
    "resolvers failing": ([by_address(), resolver(SERVFAIL)], Link.NO_RESOLVER),
    "no resolver": ([by_address(), resolver(Failure.DNS_NO_RESOLVER)], Link.NO_RESOLVER),
    "names proven by TLS": ([by_address(), by_name(), resolver(CUT)], Link.ONLINE),
    "names interrupted": ([by_address(), resolver(CUT)], Link.UNKNOWN),
    "names not tested": ([by_address()], Link.UNKNOWN),
    "portal page": ([by_address(), resolver(), captive(200)], Link.CAPTIVE),
    "portal redirect": ([by_address(), resolver(), captive(302)], Link.CAPTIVE),
    "strict portal": ([by_address(TIMEOUT), resolver(), captive(302)], Link.CAPTIVE),
    "portal with TLS": (
        [by_address(), by_name(Failure.SSL_UNKNOWN_AUTHORITY), resolver(), captive(200)],
        Link.CAPTIVE,
    ),
    "page tampered with": ([by_address(), by_name(), resolver(), captive(200)], Link.ONLINE),
    "domestic only": ([by_address(TIMEOUT), resolver(), domestic()], Link.DOMESTIC_ONLY),
    "domestic, no names": (
        [by_address(TIMEOUT), resolver(TIMEOUT), domestic()],
        Link.DOMESTIC_ONLY,
    ),
    "foreign interrupted": ([by_address(CUT), resolver(), domestic()], Link.UNKNOWN),
    "one interrupted": (
        [by_address(TIMEOUT), by_address(CUT, "foreign-b"), domestic()],
        Link.UNKNOWN,
    ),
    "foreign not tested": ([domestic()], Link.UNKNOWN),
    "no route": ([by_address(NO_ROUTE), resolver(Failure.DNS_NO_RESOLVER)], Link.OFFLINE),
    "no route, local resolver": ([by_address(NO_ROUTE), resolver(SERVFAIL)], Link.OFFLINE),
    "silence": ([by_address(TIMEOUT), resolver(TIMEOUT)], Link.OFFLINE),
    "domestic silence": (
        [by_address(TIMEOUT), resolver(TIMEOUT), [connect("domestic-one", TIMEOUT)]],
        Link.OFFLINE,
    ),
    "silence interrupted": ([by_address(TIMEOUT), resolver(CUT)], Link.UNKNOWN),
    "foreign silence alone": ([by_address(TIMEOUT)], Link.UNKNOWN),
    "silence, but names": ([by_address(TIMEOUT), resolver()], Link.UNKNOWN),
    "silence, SERVFAIL": ([by_address(TIMEOUT), resolver(SERVFAIL)], Link.UNKNOWN),
    "refused": ([by_address(REFUSED), resolver(TIMEOUT)], Link.UNKNOWN),
    "reset": ([by_name(Failure.CONNECTION_RESET), resolver()], Link.UNKNOWN),
    "a name only": ([[lookup("foreign-name")], resolver()], Link.UNKNOWN),
}


@pytest.mark.parametrize(("chains", "link"), LINKS.values(), ids=LINKS)
def test_classify_link(chains: list[list[Observation]], link: Link) -> None:
    assert classify_link(join_chains(*chains)) is link


STEPS = st.lists(
    st.builds(
        make_step,
        st.sampled_from(Operation),
        st.none() | st.sampled_from(Failure),
        st.sampled_from(["foreign-a", "foreign-b", "domestic-a", "resolver-a", "captive-a"]),
        http=st.sampled_from([None, Http(method="GET", url="", status=200)]),
    ),
    max_size=12,
)


@given(STEPS)
def test_interrupted_step_never_adds_certainty(steps: list[Observation]) -> None:
    """An interrupted step may remove certainty; it makes no link online or offline."""
    for index, step in enumerate(steps):
        if step.endpoint.startswith("foreign"):
            doubted = classify_link(
                [*steps[:index], replace(step, failure=CUT), *steps[index + 1 :]]
            )
            assert doubted is not Link.OFFLINE
            assert doubted is not Link.ONLINE or classify_link(steps) is Link.ONLINE


@given(STEPS)
def test_only_interrupted_steps_are_unknown(steps: list[Observation]) -> None:
    assert classify_link([replace(x, failure=CUT) for x in steps]) is Link.UNKNOWN


@given(STEPS)
def test_link_without_foreign_anchor_is_not_online(steps: list[Observation]) -> None:
    failed = [
        replace(x, failure=TIMEOUT)
        if x.endpoint.startswith("foreign") and x.operation is not Operation.READ_BODY
        else x
        for x in steps
        if not (x.endpoint.startswith("foreign") and x.operation is Operation.READ_BODY)
    ]
    assert classify_link(failed) is not Link.ONLINE


def world_with_portal_page(status: int, **names: tuple[str, ...]) -> World:
    return World(
        names={"connectivitycheck.gstatic.com": ("192.0.2.1",), **names},
        ports={("1.1.1.1", 443): None, ("192.0.2.1", 80): None},
        pages={"http://connectivitycheck.gstatic.com/generate_204": Page(status=status)},
    )


@pytest.mark.parametrize(
    ("world", "link"),
    [
        (World(), Link.UNKNOWN),
        (world_with_portal_page(204, **{"www.example.com": ("192.0.2.9",)}), Link.ONLINE),
        (world_with_portal_page(302), Link.CAPTIVE),
    ],
)
def test_shipped_anchors_are_classified(world: World, link: Link) -> None:
    """Experiment, list of anchors and `classify_link` fit together."""
    from heliograph.services import load_shipped_services

    anchors = load_shipped_services().get("anchors")
    assert anchors is not None

    async def story(clock: VirtualClock) -> Link:
        experiment = experiments.find_experiment("connectivity")
        trace = StepTrace(clock)
        net = FakeDoor(world, clock).bind(trace)
        await experiment.run(Target(value="anchors", service=anchors), experiment.config(), net)
        return classify_link(trace.observations)

    assert run_virtually(story) is link
