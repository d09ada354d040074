"""Qualify a row of good news by a country's silent networks or regions. Pure."""

from dataclasses import dataclass

from heliograph_collector.http.i18n import Locale


@dataclass(frozen=True, slots=True, kw_only=True)
class SilentShare:
    """Silent share of a country or region of which the rest measures."""

    networks: int  # that are silent
    of: int  # networks
    has_dark_regions: bool = False  # a network is silent in some of its regions

    def qualify(self, state: str, cause: str, t: Locale) -> str:
        """Return a row's cause with the share, if its state is reachable or partial."""
        if state not in ("reachable", "partial") or not (self.networks or self.has_dark_regions):
            return cause
        if self.has_dark_regions:
            share = t("map.partly_silent")
        elif state == "reachable":
            return t("country.unheard", n=self.networks, total=self.of)
        else:
            share = t("now.are_offline", n=self.networks, total=self.of)
        return t("now.semicolon").join(filter(None, (cause, share)))
