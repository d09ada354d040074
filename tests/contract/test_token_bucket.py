"""Token buckets: their limits, their delays, and the keys they drop."""

import pytest

from heliograph.token_bucket import TokenBucket, TokenBuckets
from heliograph.units import HOUR_US

BACK_US = -HOUR_US


@pytest.mark.parametrize(
    ("amount", "now_us", "wait_s", "level"),
    [
        (2, 0, 0.0, 0.0),
        (3, 0, 10.0, 2.0),
        (3, 10_000_000, 0.0, 0.0),
        (1, 10 * HOUR_US, 0.0, 3.0),  # no more than its capacity
        (3, BACK_US, 10.0, 2.0),
    ],
)
def test_bucket_gains_up_to_its_capacity(
    amount: int, now_us: int, wait_s: float, level: float
) -> None:
    bucket = TokenBucket(per_s=0.1, capacity=4.0, level=2.0, at_us=0)
    assert bucket.take(amount, now_us) == wait_s
    assert bucket.level == level


def test_keys_do_not_share_and_the_longest_unused_are_forgotten() -> None:
    buckets: TokenBuckets[str] = TokenBuckets(per_s=1 / 3_600, capacity=1.0, max_keys=2)
    for key in ("a", "b", "a", "c"):
        buckets.take(key, 0)
    assert (len(buckets), buckets.level("a", 0), buckets.level("b", 0)) == (2, 0.0, None)
    assert buckets.take("b", HOUR_US, first_level=0.5) == 1_800
    buckets.drop_unused(0)
    assert (len(buckets), buckets.level("b", HOUR_US)) == (1, 0.5)
