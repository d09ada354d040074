"""A plan in pieces is whole in the end, despite lost, mixed or forged pieces."""

import random

import pytest

from heliograph.plan_chunks import (
    LARGE_PIECE,
    MAX_PACKED,
    SMALL_PIECE,
    PlanAssembler,
    format_progress,
    next_piece,
    pack_plan,
    parse_progress,
)
from heliograph.v1 import intake_pb2 as pb
from support.values import present

RNG = random.Random(3)
SIGNED = RNG.randbytes(9_000)  # which no compression makes small
PACKED = pack_plan(SIGNED)


def given(held: pb.PlanHeld, envelope_bytes: int = 512) -> pb.PlanPiece:
    return present(next_piece(PACKED, 6, held, envelope_bytes))


def test_it_is_whole_after_as_many_answers_as_it_takes() -> None:
    gathered, rounds = PlanAssembler(), 0
    while True:
        rounds += 1
        held = present(parse_progress(format_progress(gathered.progress(5))))
        whole = gathered.add_piece(given(held))
        if whole is not None:
            break
    assert (whole, rounds) == (SIGNED, -(-len(PACKED) // LARGE_PIECE))
    assert gathered.progress(6) == pb.PlanHeld(version=6)


def test_beside_a_large_envelope_there_is_little_room() -> None:
    assert len(given(pb.PlanHeld(), 6_200).piece) == SMALL_PIECE
    assert len(given(pb.PlanHeld(), 2_100).piece) == LARGE_PIECE
    assert len(given(pb.PlanHeld(), 24_000).piece) == LARGE_PIECE, (
        "no freezing network takes it anyhow"
    )


def test_an_agent_with_the_plan_gets_nothing_and_no_plan_may_be_too_large() -> None:
    assert next_piece(PACKED, 6, pb.PlanHeld(version=6), 512) is None
    assert next_piece(bytes(MAX_PACKED + 1), 6, pb.PlanHeld(version=5), 512) is None


def test_a_plan_replaced_meanwhile_is_started_over() -> None:
    gathered = PlanAssembler()
    gathered.add_piece(given(gathered.progress(5)))
    held = gathered.progress(5)
    newer = present(next_piece(PACKED, 7, held, 512))
    assert newer.at == 0
    assert gathered.add_piece(newer) is None
    assert gathered.progress(5) == pb.PlanHeld(version=5, next=7, bytes=LARGE_PIECE)


@pytest.mark.parametrize(
    "odd",
    [
        pb.PlanPiece(version=6, size=9_000, at=17, piece=b"x"),
        pb.PlanPiece(version=6, size=MAX_PACKED + 1, at=0, piece=b"x"),
        pb.PlanPiece(version=6, size=9_000, at=0),
        pb.PlanPiece(version=6, size=4, at=0, piece=b"none"),
    ],
)
def test_what_does_not_fit_is_forgotten_and_harms_nothing(odd: pb.PlanPiece) -> None:
    gathered = PlanAssembler()
    assert gathered.add_piece(odd) is None
    assert gathered.progress(5).bytes == 0
