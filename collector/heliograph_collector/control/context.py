"""All that throws light on a measurement: controls, and the rest of the world."""

from collections.abc import Iterable
from dataclasses import replace

from heliograph.observation import Link
from heliograph.plan import Service
from heliograph_collector.control.cache import ControlCache
from heliograph_collector.control.peer_baseline import World
from heliograph_collector.control.target_key import OBSERVATIONS_KEPT, WINDOW_US
from heliograph_collector.model.records import ControlView, Role, Taken


class Light:
    """Both memories; deterministic, and bounded by `observations` each."""

    def __init__(
        self, services: Iterable[Service] = (), *, observations: int = OBSERVATIONS_KEPT
    ) -> None:
        self._cache = ControlCache(services, observations=observations)
        self._world = World(observations=observations)

    def take(self, taken: Taken) -> bool:
        """Whether it may change what others of the same target mean."""
        if taken.role is Role.CONTROL:
            return self._cache.update(taken)
        return self._world.update(taken)

    def view_of(self, taken: Taken) -> ControlView:
        """The control's view, else a stand-in's, with what the world sees."""
        view = replace(self._cache.view_of(taken), contrast=self._world.contrast(taken))
        if view.age_us is not None and view.age_us <= WINDOW_US:
            return view
        other = None if taken.role is Role.CONTROL else self._world.stand_in(taken)
        if other is None:
            return view
        return replace(
            view,
            measurement=other.measurement,
            age_us=abs(other.started_us - taken.started_us),
            link=Link.ONLINE,
            stand_in=True,
        )
