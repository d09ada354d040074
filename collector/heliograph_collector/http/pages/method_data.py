"""What decides, as the page of methods tells it; app/method_source.py reads it from the code."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Number = float | str | tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of the judge, as it stands there."""

    id: str
    state: str
    layer: str
    method: str
    strength: float
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """What decides. Keys of the mappings are the names in the code."""

    rules_version: int = 0
    detect_version: int = 0
    rules: Sequence[Rule] = ()  # read from the top: the first that holds gives the verdict
    readings: Mapping[str, Sequence[Rule]] = field(default_factory=dict)  # experiment → its rules
    control: Mapping[str, float] = field(default_factory=dict)  # full_min, stale_min, at_stale
    cells: Mapping[str, Number] = field(default_factory=dict)  # rollup's thresholds
    detect: Mapping[str, Number] = field(default_factory=dict)
