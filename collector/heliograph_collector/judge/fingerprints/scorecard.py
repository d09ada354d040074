"""Score the lists: recall and precision on a corpus, overall and for each line.

A corpus is JSON Lines of labeled answers. `label` is `block` (a state's or a provider's page or
address) or `innocent` (all others). The other keys are optional: `body`, `title`, `text`,
`location`, `server`, `status`, `url`, `dns` (a list of addresses and aliases), `source`, `date`.

Example:
    for score in score_corpus(read_corpus(Path("corpus.jsonl")), index).lines:
        print(score.name, score.blocks, score.innocents)
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec

from heliograph.observation import Dns, DnsAnswer, Http
from heliograph_collector.judge.fingerprints.fingerprint import Fingerprint
from heliograph_collector.judge.fingerprints.library import FingerprintIndex, FingerprintList
from heliograph_collector.judge.fingerprints.list_reader import FingerprintError

MAX_LINE = 1 << 20  # bytes read of one; assumed
MAX_LINES = 100_000  # assumed
URL = "http://www.target.example/"


class LabeledAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a corpus."""

    label: Literal["block", "innocent"]
    body: str = ""
    title: str = ""
    text: str = ""
    location: str = ""
    server: str = ""
    status: int = 200
    url: str = URL
    dns: tuple[str, ...] = ()
    source: str = ""
    date: str = ""


class LineScore(msgspec.Struct, frozen=True):
    """Counts of the blocks and innocent pages that one line decided."""

    name: str
    blocks: int
    innocents: int

    @property
    def precision(self) -> float:
        return self.blocks / (self.blocks + self.innocents)


class Score(msgspec.Struct, frozen=True):
    """Counts over a corpus; `lines` has those that called at least one answer a block."""

    blocks: int
    found: int  # blocks that were called so
    innocents: int
    mistaken: int  # innocents that were called blocks
    lines: tuple[LineScore, ...]

    @property
    def recall(self) -> float:
        return self.found / self.blocks if self.blocks else 1.0

    @property
    def precision(self) -> float:
        called = self.found + self.mistaken
        return self.found / called if called else 1.0


def read_corpus(path: Path) -> Iterator[LabeledAnswer]:
    """Read a corpus. Raises FingerprintError, OSError."""
    decoder = msgspec.json.Decoder(LabeledAnswer)
    with path.open("rb") as file:
        for number, line in enumerate(iter(partial(file.readline, MAX_LINE + 1), b""), 1):
            if len(line) > MAX_LINE or number > MAX_LINES:
                raise FingerprintError(
                    f"{path.name}:{number}: more than {MAX_LINES} lines or {MAX_LINE} bytes; split"
                )
            if line.strip():
                try:
                    yield decoder.decode(line)
                except (ValueError, RecursionError) as error:
                    raise FingerprintError(f"{path.name}:{number}: {error}") from error


def score_corpus(answers: Iterable[LabeledAnswer], index: FingerprintIndex) -> Score:
    """Count what the lists call a block, rightly and wrongly."""
    totals: Counter[str] = Counter()
    by_line: dict[str, Counter[str]] = {}
    called: Counter[str] = Counter()
    for answer in answers:
        totals[answer.label] += 1
        fingerprint = find_fingerprint(answer, index)
        if fingerprint is not None and fingerprint.is_blocking:
            called[answer.label] += 1
            by_line.setdefault(fingerprint.name, Counter())[answer.label] += 1
    lines = (LineScore(n, c["block"], c["innocent"]) for n, c in sorted(by_line.items()))
    return Score(
        totals["block"], called["block"], totals["innocent"], called["innocent"], tuple(lines)
    )


def leave_out(index: FingerprintIndex, source: str) -> FingerprintIndex:
    """Return an index without a source's lines, to score the others on unseen pages."""
    return FingerprintIndex(
        tuple(
            FingerprintList(
                each.name, tuple(line for line in each.fingerprints if line.source != source)
            )
            for each in index.lists
        )
    )


def find_fingerprint(answer: LabeledAnswer, index: FingerprintIndex) -> Fingerprint | None:
    """Return the line that decides on a page, or else on an answer in DNS."""
    if answer.dns:
        records = tuple(DnsAnswer(type="A", data=data) for data in answer.dns)
        return index.find_answer(
            Dns(engine="system", resolver="", name="", query_type="A", answers=records)
        )
    return index.find_page(
        Http(
            method="GET",
            url=answer.url,
            status=answer.status,
            title=answer.title,
            text=answer.text,
            location=answer.location,
            server=answer.server,
            markup=answer.body,
        )
    )
