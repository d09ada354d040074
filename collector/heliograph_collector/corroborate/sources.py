"""Every source there is, by its name in the configuration."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from heliograph_collector.corroborate.ioda import Ioda, IodaConfig
from heliograph_collector.corroborate.radar import Radar, RadarConfig
from heliograph_collector.corroborate.ris import RisConfig, RisLive
from heliograph_collector.corroborate.source import Means, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    ris: RisConfig = field(default_factory=RisConfig)
    ioda: IodaConfig = field(default_factory=IodaConfig)
    radar: RadarConfig = field(default_factory=RadarConfig)


SOURCES: Mapping[str, Callable[[Settings, Means], Source]] = {
    "ris": lambda settings, means: RisLive(settings.ris, means),
    "ioda": lambda settings, means: Ioda(settings.ioda, means),
    "radar": lambda settings, means: Radar(settings.radar, means),
}
