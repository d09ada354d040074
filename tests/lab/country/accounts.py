"""Check that every result of the agents is stored exactly once."""

from collections import Counter

from lab.country import drill
from lab.country.country import Country
from support.programs import eventually

STORED_S = 300.0  # every measurement is read, page by page, each time


def check_accounts(made: Country) -> None:
    """Check that every sequence of an agent's spool is stored once.

    What a busy machine left in spools at the stop is imported first.
    """
    made.stop_agents()
    names = [*made.names(), "control"]
    left = made.hand_in(names)
    print(f"{sum(left.values())} batches handed in after the stop")
    given = [made.given(name) for name in names]
    issued = Counter(sequence for last in given for sequence in range(1, last + 1))

    def count_once_all_are_there() -> Counter[int] | None:
        counts = count_stored(made)
        return counts if counts.total() >= sum(given) else None

    assert eventually(count_once_all_are_there, f"{sum(given)} stored", STORED_S) == issued
    print(f"{sum(given)} measurements given by {len(given)} spools, each stored once")


def count_stored(made: Country) -> Counter[int]:
    """Count the agents whose first, second, … result is stored; fail on a duplicate.

    An agent has another pseudonym where its results came by hand, so agents are not asked for by
    name.
    """
    stored = drill.stored(made)
    assert all(set(seen.values()) == {1} for seen in stored.values()), "counted twice"
    return sum(stored.values(), Counter())
