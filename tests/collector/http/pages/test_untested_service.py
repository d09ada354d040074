"""A service that left the plan keeps its title beside its past bars."""

from heliograph_collector.model.records import VerdictState
from support.fake_feed import NOW_US, World, crowd
from support.site import Serve

_HOUR_US = 3_600_000_000


async def test_an_untested_service_is_called_by_its_title(serve: Serve) -> None:
    world = World()
    world.votes += crowd(30, VerdictState.REACHABLE, NOW_US - 2 * _HOUR_US, NOW_US)
    past = (NOW_US - 9 * _HOUR_US, NOW_US - 8 * _HOUR_US)
    world.votes += crowd(30, VerdictState.REACHABLE, *past, service="whatsapp")
    client = await serve(world.feed(untested=("whatsapp", "signal")))
    page = await client.html("/countries/KZ")
    assert ">WhatsApp</a>" in page
    assert ">whatsapp</a>" not in page
