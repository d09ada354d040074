"""Version numbers in prose are those of the code, as readers update by them."""

import re
from pathlib import Path

import pytest

from heliograph import __version__
from heliograph_collector.judge import RULES_VERSION
from heliograph_collector.model.thresholds import DETECT_VERSION

ROOT = Path(__file__).parents[2]
SOURCES = [
    path
    for pattern in ("*.md", "*.py")
    for folder in ("agent", "collector", "proto", "deploy")
    for path in (ROOT / folder).rglob(pattern)
] + list(ROOT.glob("*.md"))
# What we say of our own versions; other programs' have other words before them.
OURS = re.compile(
    r"\b(agents? of|agents up to|[Cc]ollectors? of|log of|up to|until|Until)[\s#]+(\d+\.\d+\.\d+)\b"
)


def read_version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


def test_prose_speaks_of_released_versions_and_promises_for_later_ones() -> None:
    """Prose names released versions, and promises only for later ones.

    A promise until a version is due when that comes: then code and words go.
    """
    present = read_version(__version__)
    found = 0
    for path in SOURCES:
        for word, version in OURS.findall(path.read_text("utf-8")):
            found += 1
            is_promise = word.lower() == "until"
            is_true = (
                read_version(version) > present
                if is_promise
                else (read_version(version) <= present)
            )
            assert is_true, f"{path.relative_to(ROOT)}: {word} {version}, and this is {__version__}"
    assert found > 8, "the words that name our versions have changed"


@pytest.mark.parametrize(
    ("document", "words", "version"),
    [
        ("detect", "Detector version", DETECT_VERSION),
        ("judge", "Rules version", RULES_VERSION),
    ],
)
def test_readme_names_the_version_of_its_stage(document: str, words: str, version: int) -> None:
    readme = ROOT / f"collector/heliograph_collector/{document}/README.md"
    assert re.findall(rf"{words}: \*\*(\d+)\*\*", readme.read_text()) == [str(version)]
