"""The honest set, by people who have not read the judge, on the production path.

A case that fails is listed in known_failures.yml; a listed case that does not fail is an error, so
that the list only shrinks.
"""

from collections import Counter
from random import Random

import msgspec
import pytest

from support.examples import choose, keep_part
from support.honest import mutation
from support.honest.case import HONEST, KNOWN_FAILURES, Case, read_cases
from support.honest.score import (
    BADNESS,
    Outcome,
    build_documents,
    format_table,
    judge_case,
    judge_documents,
    list_cases,
    read_known_failures,
    score,
)

SEED = 16
MIN_CASES = 150
MIN_OF_KIND = 8
MIN_BLOCKS = 40


pytestmark = pytest.mark.xdist_group("honest")  # else each worker judges all cases


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    return score(list_cases())


def select_written(outcomes: list[Outcome]) -> list[Outcome]:
    """Leave the derived cases out, which would only take time."""
    return [outcome for outcome in outcomes if not outcome.case.kind.startswith("derived")]


def test_nobody_is_blocked_falsely_and_no_block_is_missed(outcomes: list[Outcome]) -> None:
    failing = {outcome.case.case for outcome in outcomes if outcome.grade != "right"}
    known = read_known_failures(HONEST / KNOWN_FAILURES)
    table = format_table(outcomes)
    assert failing - known == set(), f"new failures:\n{table}"
    assert known - failing == set(), "take these out of known_failures.yml: they are right now"


def test_the_set_is_large_and_each_case_names_its_source() -> None:
    cases = read_cases()
    kinds = Counter(case.kind for case in cases)
    blocks = [case for case in cases if case.right == ("blocked",)]
    assert len({case.case for case in cases}) == len(cases) >= MIN_CASES
    assert [kind for kind, count in kinds.items() if count < MIN_OF_KIND] == []
    assert len(blocks) >= MIN_BLOCKS
    assert [case.case for case in cases if len(case.source) < 8 or not case.right] == []
    bases = {case.no_worse_than for case in cases} - {""}
    assert len(bases) >= 10
    assert bases <= {case.case for case in cases}


def test_documents_are_of_the_format_that_oonis_own_reader_takes() -> None:
    """Imported when needed, because it takes long and each worker collects this file."""
    from oonidata.models.nettests import (  # type: ignore[import-untyped] # it ships no types
        NETTEST_MODELS,
    )

    for case in (case for case in read_cases() if case.native is None):
        for document in build_documents(case):
            model = NETTEST_MODELS.get(document["test_name"], NETTEST_MODELS["generic"])
            loaded = model.from_dict(document)
            assert loaded.probe_cc == document["probe_cc"]


@pytest.mark.long
def test_names_addresses_and_order_decide_nothing(
    outcomes: list[Outcome], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("changed")
    moved = []
    for outcome in choose(keep_part(select_written(outcomes))):
        random = Random(f"{SEED} {outcome.case.case}")
        changed = mutation.change_immaterial_facts(outcome.case, random)
        if changed is None:
            continue
        state = judge_documents(outcome.case, changed, folder).state
        if state != outcome.state:
            moved.append(f"{outcome.case.case}: {outcome.state} became {state}")
    assert moved == []


@pytest.mark.long
def test_one_more_address_that_works_makes_nothing_worse(
    outcomes: list[Outcome], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("favored")
    worse = []
    for outcome in choose(keep_part(select_written(outcomes)[1:])):
        favored = mutation.add_working_address(outcome.case)
        if favored is None:
            continue
        state = judge_case(favored, folder).state
        if BADNESS.get(state, 2) > BADNESS.get(outcome.state, 2):
            worse.append(f"{outcome.case.case}: {outcome.state} became {state}")
    assert worse == []


def test_a_sealed_lookup_that_agrees_and_a_control_that_fails_alike_clear_the_network(
    outcomes: list[Outcome], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """An encrypted lookup that agrees, and a control with the same failure, clear it.

    The network is cleared in all documents, except for known block pages, addresses and private
    answers.
    """
    folder = tmp_path_factory.mktemp("cleared")
    blocked = []
    for outcome in choose(select_written(outcomes)):
        sealed = mutation.let_sealed_lookup_agree(outcome.case)
        alike = mutation.fail_control_alike(outcome.case)
        for changed, layers in ((sealed, "dns"), (alike, "")):
            result = changed and judge_case(changed, folder)
            if result and result.state == "blocked" and result.detail.startswith(layers):
                blocked.append(f"{outcome.case.case}: {result.detail} of {changed}")
    assert blocked == []


def test_a_case_of_another_form_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"case": "x", "source": "y", "world": "z", "wrong": []}, Case)
