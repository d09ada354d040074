"""Where too few vantages are to tell anything, and since when."""

from dataclasses import dataclass, field

from heliograph_collector.detect.silence import Blind

FEW = "too_few_vantages"
LEAST = 5  # live vantages of a country; fewer confirm nothing


@dataclass(slots=True)
class Thin:
    """Spells of countries in which anybody was ever seen."""

    since: dict[str, int] = field(default_factory=dict)  # under way
    spells: list[Blind] = field(default_factory=list)  # over

    def look(self, country: str, live: int, at_us: int) -> None:
        if live < LEAST:
            self.since.setdefault(country, at_us)
        elif country in self.since:
            since_us = self.since.pop(country)
            if at_us > since_us:
                self.spells.append(Blind(since_us, at_us, FEW, country))

    def forget(self, before_us: int) -> None:
        self.spells = [spell for spell in self.spells if spell.until_us >= before_us]
