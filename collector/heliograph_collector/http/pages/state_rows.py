"""Rows of a table by state: services, networks and regions, now or in chosen days."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from heliograph_collector.http import labels
from heliograph_collector.http.i18n import Locale
from heliograph_collector.model.records import VerdictState

_DASH = "\N{EN DASH}"
_SYMBOLS = {**{s.value: labels.SYMBOLS[s] for s in VerdictState}, "silent": "∅"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StateRow:
    """One service, network or region."""

    id: str
    title: str | Markup
    subtitle: str
    state: str  # class name; "nothing" without data
    symbol: str
    label: str
    cause: str
    chart: Markup
    path: str = ""  # of the page about it


@dataclass(frozen=True, slots=True, kw_only=True)
class RowGroup:
    """Rows under one title."""

    title: str
    rows: Sequence[StateRow]


def build_row(
    id_: str,
    title: str | Markup,
    subtitle: str,
    state: str,
    t: Locale,
    *,
    cause: str,
    chart: Markup,
    path: str = "",
) -> StateRow:
    """Build a row with the symbol and the label of its state."""
    is_silent = state == "silent"
    return StateRow(
        id=id_,
        title=title,
        subtitle=subtitle,
        state=state,
        symbol=_SYMBOLS.get(state, _DASH),
        label=t("country.silent_now") if is_silent else labels.label_code("state", state, t.lang),
        cause=cause,
        chart=chart,
        path=path,
    )
