"""Looks at the reporting half: each is a line of looks.csv, so that readers can count them."""

import csv
from pathlib import Path

LOOKS = Path(__file__).with_name("looks.csv")


def count_looks(path: Path = LOOKS) -> int:
    """Count the looks at the reporting half of the honest world that are on record."""
    with path.open(encoding="utf-8", newline="") as file:
        return sum(1 for _ in csv.DictReader(file))
