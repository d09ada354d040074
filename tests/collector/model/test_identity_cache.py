"""A cache by identity keeps its newer half, whatever else is looked up."""

from heliograph_collector.model.identity_cache import IdentityCache


class Box:
    """A value that equals no other."""


def test_the_last_results_stand_and_the_earlier_go() -> None:
    asked: list[Box] = []

    def compute(value: Box) -> int:
        asked.append(value)
        return len(asked)

    cache = IdentityCache(compute, 8)
    boxes = [Box() for _ in range(21)]
    found = [cache(box) for box in boxes]
    assert [cache(box) for box in boxes[-4:]] == found[-4:]
    assert asked == boxes
    assert cache(boxes[0]) == len(boxes) + 1  # gone with the first ones, and found once more


def test_what_another_process_found_stands_as_if_it_was_computed_here() -> None:
    def refuse(value: Box) -> str:
        raise AssertionError

    cache = IdentityCache(refuse, 8)
    box = Box()
    cache.keep(box, "found")
    assert cache(box) == "found"
