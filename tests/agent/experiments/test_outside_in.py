"""outside_in: the sites of a country one by one; shipped lists have only sites."""

from heliograph.failure import Failure, Operation
from heliograph.plan import Endpoint, EndpointKind, Service
from heliograph.services import load_shipped_services
from heliograph_agent.experiments.experiment import Target
from support.experiment_run import observed
from support.fake_net import Page, World

LISTS = [
    service for service in load_shipped_services().services if service.experiment == "outside_in"
]


def sites(*hosts: str, port: int = 443) -> Target:
    endpoints = tuple(
        Endpoint(id=host.partition(".")[0], kind=EndpointKind.HTTPS, host=host, port=port)
        for host in hosts
    )
    service = Service(name="sites-xx", title="Sites", experiment="outside_in", endpoints=endpoints)
    return Target(value="sites-xx", service=service)


async def test_each_site_is_climbed_to_its_page_under_its_own_label() -> None:
    world = World(
        names={"gov.test": ("192.0.2.1",), "shut.test": ("192.0.2.2",)},
        ports={("192.0.2.1", 443): None, ("192.0.2.2", 443): Failure.GENERIC_TIMEOUT_ERROR},
        pages={"https://gov.test/": Page(status=302, location="https://elsewhere.test/")},
    )
    seen = await observed("outside_in", sites("gov.test", "shut.test"), world)
    last = {o.endpoint: (o.operation, o.failure) for o in seen if o.operation != Operation.RESOLVE}
    assert last == {
        "gov": (Operation.READ_BODY, None),
        "shut": (Operation.CONNECT, Failure.GENERIC_TIMEOUT_ERROR),
    }
    assert len(world.requests) == 1, "no redirect is followed"


def test_lists_are_of_whole_countries_and_their_public_sites() -> None:
    assert "sites-kz" in {service.name for service in LISTS}
    for service in LISTS:
        country = service.name.removeprefix("sites-")
        assert len(country) == 2
        assert all(e.kind is EndpointKind.HTTPS and e.path == "/" for e in service.endpoints)
        assert all(e.host.endswith(f".{country}") for e in service.endpoints)
