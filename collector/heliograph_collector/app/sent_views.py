"""Send the views by which other judge processes judge results.

Theory of operation. One process has the control context. For each result that another one judges it
sends a view: the data that the rules compare the result with. Views of a block name the same few
results of controls, and so do those of later blocks. So each process gets a control's result once,
and it is named by a number from then on; the process forgets those that no view has named for
longest. Further looks are sent as candidates, since the process has the steps by which they are
chosen; if visits are many, only results that did not succeed everywhere are sent. Of the peers
those are sent that an endpoint's failure needs. A verdict that depends on others is found by the
process with the context.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import NoReturn, overload

from heliograph.observation import Measurement
from heliograph.plan import Service
from heliograph_collector.app.frames import FrameError
from heliograph_collector.app.judge_messages import (
    LOOKS_NOT_SENT,
    NO_LOOKS,
    NO_MEASUREMENT,
    OWN_MEASUREMENT,
    SentLook,
    SentView,
    ViewedRequest,
)
from heliograph_collector.control.cache import ChosenLooks, ControlCache, LookCandidate
from heliograph_collector.control.endpoint_outcomes import extract_outcomes
from heliograph_collector.model.control_look import ControlLook, VantageProfile
from heliograph_collector.model.records import (
    ControlView,
    PeerComparison,
    ReceivedMeasurement,
)

# That a process keeps between two requests. Assumed: as many as the control cache has of seven
# steps each, the mean of the default plan (control.target_key.OBSERVATIONS_KEPT).
MEASUREMENTS_KEPT = 6_000
# Candidates for further looks of a result that succeeded at each endpoint: one of twelve asks for
# them. Two controls make three or four, and a country in doubt hundreds of visits. Assumed.
LOOKS_OF_SUCCESS = 32


class NotSentError(Exception):
    """A verdict depends on a part of its view that was not sent."""


class SentPeers(Mapping[str, PeerComparison]):
    """Peers at the endpoints that were sent; a query for others raises NotSentError."""

    def __init__(self, sent: Mapping[str, PeerComparison | None]) -> None:
        self._sent = sent

    def __getitem__(self, label: str) -> PeerComparison:
        if label not in self._sent:
            raise NotSentError
        comparison = self._sent[label]
        if comparison is None:
            raise KeyError(label)
        return comparison

    def __iter__(self) -> NoReturn:
        raise NotSentError

    def __len__(self) -> NoReturn:
        raise NotSentError


class NotSentLooks(Sequence[ControlLook]):
    """Further looks that were not sent; each question raises NotSentError."""

    @overload
    def __getitem__(self, index: int) -> NoReturn: ...
    @overload
    def __getitem__(self, index: slice) -> NoReturn: ...

    def __getitem__(self, index: int | slice) -> NoReturn:
        raise NotSentError

    def __len__(self) -> NoReturn:
        raise NotSentError


_LOOKS_NOT_SENT = NotSentLooks()
_Looks = tuple[LookCandidate, ...]


class ViewSender:
    """Views that the process with the context has sent to one other process."""

    def __init__(self) -> None:
        # By identity, which the measurement keeps from being another's; the last named stands last:
        self._numbers: OrderedDict[int, tuple[int, Measurement]] = OrderedDict()
        self._count = 0
        self._new: list[Measurement] = []  # in the present request
        self._profiles: dict[int, tuple[int, VantageProfile]] = {}  # … by identity, with its index
        # … with their index, by identity of the measurements and by networks:
        self._looks: dict[tuple[tuple[int, str], ...], tuple[int, list[SentLook]]] = {}

    def build_request(
        self,
        number: int,
        own: list[int],
        records: Sequence[ReceivedMeasurement],
        views: Sequence[ControlView | None],
    ) -> ViewedRequest:
        """Build the request to judge records by their views.

        Args:
            number: Of the block.
            own: Indices of the records in that process.
        """
        forgotten = list(self._iter_forgotten())
        first = self._count
        self._new = []
        self._profiles = {}
        self._looks = {}
        sent = [self._pack(*compared) for compared in zip(records, views, strict=True)]
        return ViewedRequest(
            number=number,
            own=own,
            views=sent,
            profiles=[profile for _, profile in self._profiles.values()],
            looks=[sent for _, sent in self._looks.values()],
            first_measurement=first,
            measurements=self._new,
            forgotten=forgotten,
        )

    def _iter_forgotten(self) -> Iterator[int]:
        while len(self._numbers) > MEASUREMENTS_KEPT:
            yield self._numbers.popitem(last=False)[1][0]

    def _pack(self, record: ReceivedMeasurement, view: ControlView | None) -> SentView | None:
        if view is None:
            return None
        is_own = view.measurement is record.measurement
        outcomes = extract_outcomes(record.measurement)
        has_succeeded = bool(outcomes) and all(outcomes.values())
        return SentView(
            measurement=OWN_MEASUREMENT if is_own else self._name(view.measurement),
            age_us=view.age_us,
            is_later=view.is_later,
            link=view.link,
            network=view.network,
            is_substitute=view.is_substitute,
            profile=self._name_profile(view.profile),
            looks=self._name_looks(view.looks, LOOKS_OF_SUCCESS if has_succeeded else None),
            peers={} if has_succeeded else _find_peers(outcomes, view.peer_comparisons),
        )

    def _name(self, measurement: Measurement | None) -> int:
        """Return the number of a measurement, which is sent if the process lacks it."""
        if measurement is None:
            return NO_MEASUREMENT
        key = id(measurement)
        if key in self._numbers:
            self._numbers.move_to_end(key)
        else:
            self._numbers[key] = (self._count, measurement)
            self._count += 1
            self._new.append(measurement)
        return self._numbers[key][0]

    def _name_profile(self, profile: VantageProfile) -> int:
        return self._profiles.setdefault(id(profile), (len(self._profiles), profile))[0]

    def _name_looks(self, looks: Sequence[ControlLook], most: int | None) -> int:
        """Return the index of what may become further looks, of which a control has none."""
        candidates = looks.list_candidates() if isinstance(looks, ChosenLooks) else ()
        if not candidates:
            return NO_LOOKS
        if most is not None and len(candidates) > most:
            return LOOKS_NOT_SENT
        key = tuple([(id(each.measurement), each.network) for each in candidates])
        if key not in self._looks:
            sent = [
                SentLook(each.started_us, self._name(each.measurement), each.link, each.network)
                for each in candidates
            ]
            self._looks[key] = (len(self._looks), sent)
        return self._looks[key][0]


def _find_peers(
    outcomes: Mapping[str, bool], peers: Mapping[str, PeerComparison]
) -> dict[str, PeerComparison | None]:
    """Find the peers at the endpoints that failed; others are hardly ever needed."""
    return {label: peers.get(label) for label, is_good in outcomes.items() if not is_good}


class ViewReader:
    """Views that a process without the context received and must remember."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._plan = ControlCache(services)  # without results: the plan's facts on services
        self._measurements: dict[int, Measurement] = {}

    def read(
        self, request: ViewedRequest, records: Sequence[ReceivedMeasurement]
    ) -> list[ControlView | None]:
        """Read the views of a request on these records. Raises FrameError."""
        if not request.first_measurement:  # another process has the context than before
            self._measurements.clear()
        for number in request.forgotten:
            self._measurements.pop(number, None)
        self._measurements.update(enumerate(request.measurements, request.first_measurement))
        try:
            looks = [self._read_looks(sent) for sent in request.looks]
            return [
                self._build(record, sent, request.profiles, looks) if sent is not None else None
                for record, sent in zip(records, request.views, strict=True)
            ]
        except (LookupError, ValueError) as error:
            raise FrameError(f"a view names what was not sent ({error})") from error

    def _build(
        self,
        record: ReceivedMeasurement,
        sent: SentView,
        profiles: Sequence[VantageProfile],
        looks: Sequence[_Looks],
    ) -> ControlView:
        measurement = record.measurement
        peers = SentPeers(sent.peers)
        make_view = self._plan.prepare_view(measurement, peers, profiles[sent.profile])
        return make_view(
            measurement=self._find(sent.measurement, measurement),
            age_us=sent.age_us,
            is_later=sent.is_later,
            link=sent.link,
            network=sent.network,
            is_substitute=sent.is_substitute,
            looks=_choose_looks(sent, looks, record),
        )

    def _read_looks(self, sent: Sequence[SentLook]) -> _Looks:
        return tuple(
            LookCandidate(
                each.started_us, self._measurements[each.measurement], each.link, each.network
            )
            for each in sent
        )

    def _find(self, number: int, own: Measurement) -> Measurement | None:
        if number < 0:
            return own if number == OWN_MEASUREMENT else None
        return self._measurements[number]


def _choose_looks(
    sent: SentView, looks: Sequence[_Looks], record: ReceivedMeasurement
) -> Sequence[ControlLook]:
    if sent.looks < 0:
        return () if sent.looks == NO_LOOKS else _LOOKS_NOT_SENT
    candidates = looks[sent.looks]
    return ChosenLooks(lambda: candidates, record.measurement, record.started_us)
