"""The matrix as the README shows it.

python -m lab.country.matrix_page      rewrites that part of the README
"""

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from textwrap import wrap

from lab.country.matrix import Matrix, Row, matrix

README = Path(__file__).parents[1] / "README.md"
COLUMNS = 100
BEGIN, END = "<!-- matrix: made by `python -m lab.country.matrix_page` -->", "<!-- matrix ends -->"


def shown(of: Matrix) -> str:
    """Return the matrix as a table, with the reasons of what is not recognized."""
    return "\n".join([BEGIN, *_table(of), "", *_reasons(of), END])


def _table(of: Matrix) -> Iterator[str]:
    yield "| interference | recognised by | cannot be told apart by |"
    yield "| --- | --- | --- |"
    for row in of.rows:
        yield f"| `{row.id}` | {_recognised(of, row)} | {_undecided(of, row)} |"


def _recognised(of: Matrix, row: Row) -> str:
    cells = [(cell, column) for column, cell in row.cells.items() if cell not in of.reasons]
    told = [f"**{verdict}**: {columns}" for verdict, columns in _by_verdict(cells)]
    return "; ".join(told) or "nobody"


def _by_verdict(cells: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for verdict, some in groupby(sorted(cells, key=itemgetter(0)), key=itemgetter(0)):
        yield verdict, ", ".join(column for _, column in some)


def _undecided(of: Matrix, row: Row) -> str:
    unknown = {name for name, (state, _) in of.reasons.items() if state == "unknown"}
    cells = [(cell, column) for column, cell in row.cells.items() if cell in unknown]
    if len(cells) > len(of.columns) // 2:
        reasons = ", ".join(sorted({cell for cell, _ in cells}))
        return f"all others ({reasons})"
    return "; ".join(f"{columns} ({reason})" for reason, columns in _by_verdict(cells))


def _reasons(of: Matrix) -> Iterator[str]:
    yield "Blanks, each measured and found in this state:"
    yield ""
    for name, (state, says) in of.reasons.items():
        yield from wrap(f"- `{name}` ({state}): {says}", COLUMNS, subsequent_indent="  ")


def main() -> None:
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(before + shown(matrix()) + after)


if __name__ == "__main__":
    main()
