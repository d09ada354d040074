"""A run that was cut off blames nobody, whatever it had seen until then."""

from heliograph.failure import Failure
from heliograph.observation import Measurement
from heliograph_collector.store.rows import State, Verdict


def finished(verdict: Verdict, measurement: Measurement) -> Verdict:
    """The verdict, unless it says blocked and something of its endpoint was interrupted.

    What the whole would rest on may lie in any endpoint, so for it any interruption counts.
    """
    if verdict.state is not State.BLOCKED:
        return verdict
    stopped = tuple(
        index
        for index, seen in enumerate(measurement.observations)
        if seen.failure is Failure.INTERRUPTED
        and (not verdict.endpoint or seen.endpoint == verdict.endpoint)
    )
    if not stopped:
        return verdict
    return Verdict(
        state=State.UNKNOWN,
        rule="none.interrupted",
        endpoint=verdict.endpoint,
        evidence=stopped,
        reachable_endpoints=verdict.reachable_endpoints,
        endpoints=verdict.endpoints,
    )
