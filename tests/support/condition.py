"""Read tests/scenarios/conditions: network conditions and their expected verdicts.

A row is a scenario (see scenario.py) that stands for a real case, and a `live` part that sets up
the same in the field (see field/setup.py), or `not_live`, the reason why the field cannot have it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heliograph_collector.model.records import Verdict, VerdictState
from support.scenario import CATALOGUE, Scenario, listed, scenario

CONDITIONS = CATALOGUE / "conditions"
README = CONDITIONS / "README.md"
HEAD = """# Conditions of the network

Each row says what is seen here and at the control, and which verdict must follow.
`test_conditions.py` feeds the observations of a row to the judge. `test_conditions_live.py` sets
up the same with real traffic, runs the real experiment on both sides, and judges what it saw.

Rows are written in the `.yml` files beside this page: steps as in `tests/support/scenario.py`,
`live` as in `tests/support/field/setup.py`, where `$name`, `$site` … are the row's own name and
addresses. A row that cannot be live says why.

This page is made by `python -m support.condition` in the directory `tests`; a test keeps it
so.
"""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A row of the catalogue; `number` gives it a name and addresses in the field."""

    number: int
    family: str  # the file it stands in
    stands_for: str
    scenario: Scenario
    says: str  # the live set-up, or why there is none, in words
    live: Mapping[str, Any] | None

    @property
    def name(self) -> str:
        return self.scenario.name

    @property
    def experiment(self) -> str:
        return self.scenario.taken.measurement.experiment


def conditions(folder: Path = CONDITIONS) -> tuple[Condition, ...]:
    rows = [
        (path.stem, entry)
        for path in sorted(folder.glob("*.yml"))
        for entry in listed(path)
        if "name" in entry  # what has none holds parts that rows refer to
    ]
    return tuple(_condition(n, family, entry) for n, (family, entry) in enumerate(rows, 1))


def _condition(number: int, family: str, entry: Mapping[str, Any]) -> Condition:
    live = entry.get("live")
    says = entry["not_live"] if live is None else live["says"]
    return Condition(
        number=number,
        family=family,
        stands_for=entry["stands_for"],
        scenario=scenario(entry),
        says=" ".join(says.split()),
        live=live,
    )


def check_verdicts(
    verdicts: Sequence[Verdict],
    wanted: Mapping[str, Mapping[str, Any]],
    keys: Collection[str] | None = None,
    story: str = "",
) -> None:
    """Compare the verdicts with the wanted ones; `keys` restricts what is compared."""
    found = {verdict.endpoint: verdict for verdict in verdicts}
    for endpoint, expected in wanted.items():
        verdict = found[endpoint]
        facts = {key: value for key, value in expected.items() if keys is None or key in keys}
        seen = {key: _plain(getattr(verdict, key)) for key in facts}
        assert seen == facts, f"{endpoint or 'the whole'}: {verdict}{story}"


def _plain(value: Any) -> Any:
    if isinstance(value, VerdictState):
        return value.value
    return list(value) if isinstance(value, tuple) else value


def table(rows: Iterable[Condition]) -> str:
    rows = tuple(rows)
    live = sum(row.live is not None for row in rows)
    lines = [HEAD, f"{len(rows)} rows, {live} of them live.\n"]
    for family in dict.fromkeys(row.family for row in rows):
        of_family = [row for row in rows if row.family == family]
        lines.append(f"## {family} ({len(of_family)})\n")
        lines.append("| condition | stands for | experiment | verdict | live |")
        lines.append("|---|---|---|---|---|")
        lines += [_line(row) for row in of_family]
        lines.append("")
    return "\n".join(lines)


def _line(row: Condition) -> str:
    says = row.says if row.live is not None else f"no: {row.says}"
    cells = (row.name, row.stands_for, row.experiment, "; ".join(_verdicts(row)), says)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _verdicts(row: Condition) -> Iterator[str]:
    for endpoint, said in row.scenario.verdicts.items():
        yield (f"{endpoint}: " if endpoint else "") + _verdict(said)


def _verdict(said: Mapping[str, Any]) -> str:
    words = [said.get("state", ""), said.get("layer", ""), said.get("method", "")]
    rule = f" (`{said['rule']}`)" if said.get("rule") else ""
    return " ".join(word for word in words if word) + rule


if __name__ == "__main__":
    README.write_text(table(conditions()))
