"""The catalogue of conditions as a table for people: tests/scenarios/conditions/README.md.

python -m support.condition_table     writes it anew, from the directory tests
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from support.condition import CONDITIONS, Condition, conditions

README = CONDITIONS / "README.md"
HEAD = """# Conditions of the network

One row each: what is seen here and at the control, and the verdict that must come of it.
`test_conditions.py` feeds the observations of a row to the judge. `test_conditions_live.py` sets
the same up on real traffic, lets the real experiment look from both sides, and judges what it saw.

Rows are written in the `.yml` files beside this page: steps as in `tests/support/scenario.py`,
`live` as in `tests/support/field/setup.py`, where `$name`, `$site` … are the row's own name and
addresses. A row that cannot be live says why.

This page is made by `python -m support.condition_table` in the directory `tests`; a test keeps it
so.
"""


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
