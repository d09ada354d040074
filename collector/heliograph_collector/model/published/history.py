"""Past days as published: runs of a state, by place and service."""

from msgspec import Struct

from heliograph_collector.model.published.fields import Timestamp


class HistoryRunDocument(Struct, frozen=True, kw_only=True):
    """Time in which a row has one state; outside of runs there is too little data."""

    since: Timestamp
    until: Timestamp
    state: str  # of the worst hours: reachable, partial, blocked, down, unknown, silent
    share: float  # of the judged hours and networks with that state


class HistoryRowDocument(Struct, frozen=True, kw_only=True):
    """One service, network or region; empty fields are merged over."""

    country: str
    region: str
    asn: int
    operator: str  # name of the network's operator; "" for none
    access: str
    service: str
    vantages: int  # the largest published count of one of its cells
    layer: str  # where it was blocked, the commonest
    method: str
    runs: tuple[HistoryRunDocument, ...]


class HistoryDocument(Struct, frozen=True, kw_only=True):
    """The chart of the chosen days, made from the daily files."""

    since: Timestamp
    until: Timestamp
    bin_s: int
    k_anonymity: int
    license: str
    first_day: Timestamp | None  # of the archive; null: it has no day yet
    last_day: Timestamp | None
    rows: tuple[HistoryRowDocument, ...]
