"""Links between documents lead to a committed file, and to a heading in it."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MANUALS = subprocess.run(
    ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
).stdout.split()
LINK = re.compile(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)", re.MULTILINE)
ABROAD = re.compile(r"[a-z]+:")  # https:, mailto:


def list_headings(document: Path) -> set[str]:
    """Anchors as GitHub makes them: small letters, spaces as hyphens, no other signs."""
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-") for name in headings}


def list_links(document: str) -> Iterator[tuple[Path, str]]:
    text = re.sub(r"^```.*?^```", "", (ROOT / document).read_text(), flags=re.M | re.S)
    for match in LINK.finditer(text):
        path, _, heading = (match.group(1) or match.group(2)).partition("#")
        if not ABROAD.match(path):
            yield ((ROOT / document).parent / path if path else ROOT / document), heading


@pytest.mark.parametrize("document", MANUALS)
def test_links_lead_to_files_and_headings(document: str) -> None:
    lost = [
        f"{path.name}#{heading}"
        for path, heading in list_links(document)
        if not path.exists()
        or (heading and path.suffix == ".md" and heading not in list_headings(path))
    ]
    assert not lost
