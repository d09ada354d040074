"""Judge the honest set by the production path and print the score.

python -m support.honest.score [KIND …]     in tests/: prints the table, and each failing case
python -m support.honest.score --list       prints known_failures.yml as it is today
python -m support.honest.score --count      counts these cases, and the catalogue's rows
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from heliograph_collector.app.commands import judge_files
from heliograph_collector.judge import judge
from heliograph_collector.sources.ooni.judged_import import JudgedImport
from support.condition import conditions
from support.honest.case import Case, Document, Grade, read_cases, read_packet_cases, read_yaml
from support.honest.derived import derive_cases
from support.honest.messenger_document import write_documents
from support.honest.ooni_frame import Json, frame_document
from support.honest.web_document import write_document
from support.scenario import catalogue, scenario

BADNESS = {"reachable": 0, "partial": 1, "unknown": 1, "down": 1, "blocked": 2}
HEAD = """\
# Cases that the judge does not get right yet. The list only shrinks: a listed case that is
# right fails the test. Written by `python -m support.honest.score --list` in tests/.
"""
GRADES: tuple[Grade, ...] = ("right", "wrong", "grave")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The judged state of a case; `detail` is for people who read a failure."""

    case: Case
    state: str
    confidence: float
    detail: str
    base: "Outcome | None" = None  # of the case that lacks a fact in favor

    @property
    def grade(self) -> Grade:
        grade = self.case.grade(self.state)
        return "wrong" if grade == "right" and self.is_worse else grade

    @property
    def is_worse(self) -> bool:
        """Return whether the fact in the network's favor made the result worse."""
        if self.base is None:
            return False
        mine, theirs = (_rank(one) for one in (self, self.base))
        return mine > theirs


def _rank(outcome: Outcome) -> tuple[int, float]:
    badness = BADNESS.get(outcome.state, 2)
    return badness, outcome.confidence if badness == 2 else 0.0


def list_cases() -> tuple[Case, ...]:
    """Return all cases, and those that follow from the real blocks among them."""
    cases = read_cases()
    return (*cases, *derive_cases(cases))


def score(cases: Sequence[Case]) -> list[Outcome]:
    with TemporaryDirectory() as folder:
        by_name = {case.case: judge_case(case, Path(folder)) for case in cases}
    return [
        Outcome(o.case, o.state, o.confidence, o.detail, by_name.get(o.case.no_worse_than))
        for o in by_name.values()
    ]


def judge_case(case: Case, folder: Path) -> Outcome:
    if case.native is not None:
        return _judge_native(case)
    return judge_documents(case, build_documents(case), folder)


def build_documents(case: Case) -> list[Json]:
    """Return OONI documents, the case's own first."""
    if case.messenger is not None:
        return write_documents(case.messenger)
    if case.document is not None:
        return _frame_documents(case.document)
    assert case.web is not None, case.case
    return [write_document(case.web)]


def _frame_documents(case: Document) -> list[Json]:
    sides = {case.cc: case.keys, **case.peers}
    return [
        frame_document(case.test, cc, case.asn + n, case.time, dict(keys), input=case.input)
        for n, (cc, keys) in enumerate(sides.items())
    ]


def judge_documents(case: Case, documents: Sequence[Json], folder: Path) -> Outcome:
    """Import as `heliograph-collector import ooni --json` does."""
    file = folder / "measurements.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in documents))
    result = next(iter(judge_files([file])))
    if not isinstance(result, JudgedImport):
        return Outcome(case, "unreadable", 0.0, result.reason)
    row = result.row
    state = row["verdict"].partition(":")[0]
    return Outcome(case, state, row["confidence"], f"{row['layer']} {row['method']}".strip())


def _judge_native(case: Case) -> Outcome:
    assert case.native is not None
    facts = scenario({"name": case.case, "verdict": {"state": ""}, **case.native})
    whole = next(v for v in reversed(judge(facts.taken, facts.control)) if v.endpoint == "")
    return Outcome(case, whole.state.value, whole.confidence, f"{whole.layer} {whole.method}")


def read_known_failures(file: Path) -> frozenset[str]:
    return frozenset(str(name) for name in read_yaml(file))


def format_table(outcomes: Iterable[Outcome]) -> str:
    """Format one line per kind, then each case that is not right."""
    outcomes = list(outcomes)
    kinds = list(dict.fromkeys(outcome.case.kind for outcome in outcomes))
    lines = [f"{'kind':<24}" + "".join(f"{grade:>8}" for grade in GRADES)]
    for kind in [*kinds, "all"]:
        counts = Counter(o.grade for o in outcomes if kind in ("all", o.case.kind))
        lines.append(f"{kind:<24}" + "".join(f"{counts[grade]:>8}" for grade in GRADES))
    lines += [_format_failure(outcome) for outcome in outcomes if outcome.grade != "right"]
    return "\n".join(lines)


def _format_failure(outcome: Outcome) -> str:
    wanted = " or ".join(outcome.case.right)
    worse = f", worse than {outcome.case.no_worse_than!r}" if outcome.is_worse else ""
    return (
        f"{outcome.grade:<6}{outcome.case.kind}: {outcome.case.case}: {outcome.state} "
        f"{outcome.confidence:.2f} ({outcome.detail}), not {wanted}{worse}"
    )


def summarize(outcomes: Iterable[Outcome]) -> Mapping[str, int]:
    """Count what must never be: false blocks, and real blocks that were missed."""
    failing = [outcome for outcome in outcomes if outcome.grade != "right"]
    false = sum(o.state == "blocked" and "blocked" not in o.case.right for o in failing)
    missed = sum("blocked" in o.case.right and o.state != "blocked" for o in failing)
    return {"false_blocked": false, "missed_blocks": missed}


def format_known_failures(outcomes: Iterable[Outcome]) -> str:
    names = (o.case.case for o in outcomes if o.grade != "right")
    return "".join(f"- {json.dumps(name, ensure_ascii=False)}\n" for name in names)


def count_rows() -> Mapping[str, int]:
    """Count the cases, the catalogue's rows, and those of them on real packets."""
    rows = conditions()
    return {
        "honest cases": len(read_cases()),
        "derived from them": len(list_cases()) - len(read_cases()),
        "honest cases on real packets": len(read_packet_cases()),
        "rows of the catalogue": len(catalogue()) + len(rows),
        "of these on real packets": sum(row.live is not None for row in rows),
    }


def main(arguments: Sequence[str]) -> None:
    if "--count" in arguments:
        print("\n".join(f"{count:>5}  {name}" for name, count in count_rows().items()))
        return
    if "--list" in arguments:
        sys.stdout.write(HEAD + format_known_failures(score(list_cases())))
        return
    outcomes = score([c for c in list_cases() if c.kind in arguments or not arguments])
    print(format_table(outcomes))
    print(summarize(outcomes))


if __name__ == "__main__":
    main(sys.argv[1:])
