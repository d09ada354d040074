"""Lines of a signal file, one struct a kind; README.md describes their keys.

An unknown key is an error, because a misspelled one would change the detection.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from heliograph.observation import Trigger
from heliograph.plan import ANCHORS
from heliograph.units import SECOND_US
from heliograph_collector.model.signals import (
    LIGHT_SOURCE,
    FaultReason,
    VantageLocation,
    VoteValue,
)

SESSION = "session"  # the transport of a line that names none
_MAX_STEP_S = 604_800  # a week; assumed
_HOSTS_ABROAD = "anchors"  # the service of the votes on them
# A session brings a batch within 30 s. A later batch was measured during a session that had died:
# it shows that the vantage's line was cut, not that its country is isolated (`judge/isolation.py`).
_PROMPT_US = 30 * SECOND_US

Time = str | int | float  # RFC 3339, or seconds since 1970
Name = Annotated[str, Meta(min_length=1, max_length=128)]
Text = Annotated[str, Meta(max_length=128)]
Asn = Annotated[int, Meta(ge=0, lt=1 << 32)]
Seconds = Annotated[int, Meta(ge=0)]
Access = Literal["", "mobile", "fixed", "hosting"]


class _Line(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="kind",
):
    at: Time


class _PlacedLine(_Line, frozen=True, kw_only=True):
    """A line that may name a place."""

    country: Text = ""
    region: Text = ""
    asn: Asn = 0
    access: Access = ""

    @property
    def location(self) -> VantageLocation:
        return VantageLocation(self.country, self.region, self.asn, self.access)


class _VantageLine(_PlacedLine, frozen=True, kw_only=True):
    vantage: Name
    prefix: Text = ""  # of its network; "": no other vantage shares it
    enrolled: Time | None = None  # None: long ago
    transport: Name = SESSION
    entrance: Text = ""


class ArrivalLine(_VantageLine, frozen=True, kw_only=True, tag="arrival"):
    on_battery: bool | None = None
    uptime_s: Seconds | None = None
    boot: Text = ""
    edition: Text = ""  # of its agent
    role: Literal["volunteer", "control"] = "volunteer"


class GoodbyeLine(_Line, frozen=True, kw_only=True, tag="goodbye"):
    vantage: Name


class LossLine(_Line, frozen=True, kw_only=True, tag="loss"):
    vantage: Name
    last_heard: Time | None = None  # None: at
    on_battery: bool | None = None
    closed: Time | None = None  # None: it fell silent, or unknown


class ReportLine(_Line, frozen=True, kw_only=True, tag="report"):
    vantage: Name
    since: Time
    until: Time
    alive: bool
    online: bool | None = None
    transport: Text = ""
    entrance: Text = ""


class FaultLine(_Line, frozen=True, kw_only=True, tag="fault"):
    until: Time
    reason: FaultReason
    country: Text = ""
    transport: Text = ""
    entrance: Text = ""


class VoteLine(_VantageLine, frozen=True, kw_only=True, tag="vote"):
    service: Name
    value: VoteValue
    received: Time | None = None  # None: half a minute after at
    layer: Text = ""
    method: Text = ""
    experiment: Text = ""
    functions: Text = ""
    light: bool = False  # a check of one endpoint of a messenger, drawn by chance
    trigger: Trigger | None = None  # of a test out of its turn
    edition: Text = ""  # of its agent; "": that of its latest arrival

    @property
    def source(self) -> str:
        """Return the experiment; that of hosts abroad follows from the service."""
        experiment = self.experiment or ANCHORS * (self.service == _HOSTS_ABROAD)
        return experiment + LIGHT_SOURCE * self.light

    def judge_value(self, delay_us: int) -> VoteValue:
        """Return the value of a vote that came after this delay."""
        is_late = self.value is VoteValue.ISOLATED and delay_us > _PROMPT_US
        return VoteValue.UNKNOWN if is_late else self.value


class EndLine(_Line, frozen=True, kw_only=True, tag="end"):
    """The end of the watched time: time advances until then, and no further."""


class LevelLine(_PlacedLine, frozen=True, kw_only=True, tag="level"):
    source: Name
    step_s: Annotated[int, Meta(ge=1, le=_MAX_STEP_S)]
    value: Annotated[float, Meta(ge=0)] | None


SignalLine = (
    ArrivalLine | GoodbyeLine | LossLine | ReportLine | FaultLine | VoteLine | LevelLine | EndLine
)

SHAPES: tuple[type[SignalLine], ...] = (
    ArrivalLine, GoodbyeLine, LossLine, ReportLine, FaultLine, VoteLine, LevelLine, EndLine,
)  # fmt: skip
