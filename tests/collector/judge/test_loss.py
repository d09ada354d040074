"""Lost failures never turn doubt into blocking, for any endpoint visit.

A step's success is evidence for the target: where it contradicts a failure the verdict is unknown,
and without it only the failure is left. So successes stay in these tests, and so do interruptions,
bad certificates, TLS that we cannot speak, and bodies that broke off or stalled, which forbid any
blame. The catalogue, where nothing contradicts itself, is tried with any loss (test_doubt.py).
"""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.failure import CERTIFICATE_FAILURES, Failure, Operation
from heliograph.observation import Link, Measurement, Observation
from heliograph_collector.judge import judge
from heliograph_collector.judge.failure_semantics import METHOD_BY_FAILURE
from heliograph_collector.model.records import ControlView, VerdictState
from support.examples import limit_examples
from support.scenario import keep_observations, measurement, taken

FOUR, SIX = ("5.6.7.8", "5.6.7.9"), "2a00:1::8"
KINDS = {
    "tcp": (),
    "tls": ("tls",),
    "http": ("http http://www.target.example/", "body http://www.target.example/"),
    "https": ("tls", "http", "body"),
}
OPERATIONS = {
    "connect": Operation.CONNECT,
    "tls": Operation.TLS_HANDSHAKE,
    "http": Operation.HTTP_ROUND_TRIP,
    "body": Operation.READ_BODY,
}
LOCAL = ("interrupted", "permission_denied", "network_unreachable", "unknown_failure")

Steps = list[dict[str, Any]]


@st.composite
def visits(draw: st.DrawFn) -> tuple[Measurement, ControlView, list[int]]:
    """Draw a visit of one endpoint by name, the control's, and a part of the first."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    here = measurement(draw(visit(kind, fails=True)))
    there = measurement(draw(visit(kind, fails=draw(st.booleans()))))
    kept = [i for i, x in enumerate(here.observations) if forbids_blame(x) or draw(st.booleans())]
    view = ControlView(measurement=there, age_us=0, link=Link.ONLINE)
    return here, view, kept


def forbids_blame(step: Observation) -> bool:
    """Return whether a step forbids blame.

    A poor link cuts and stalls bodies as a censor does: that is doubt at every endpoint.
    """
    if step.operation is Operation.READ_BODY:
        return step.failure is not Failure.CONNECTION_RESET
    if step.tls is not None and step.failure in CERTIFICATE_FAILURES:
        return True  # of a house, of a server that was not renewed, or by a clock: doubt as well
    # A server that finds nothing in common with our TLS answered: that is our own limit.
    return step.failure in (None, Failure.INTERRUPTED, Failure.SSL_UNSUPPORTED)


@st.composite
def visit(draw: st.DrawFn, kind: str, *, fails: bool) -> Steps:
    count = draw(st.integers(1, 2))
    words = sorted(METHOD_BY_FAILURE[Operation.RESOLVE])
    lost = fails and draw(st.integers(0, 3)) == 0
    a = draw(st.sampled_from((*words, *LOCAL))) if lost else " ".join(FOUR[:count])
    six = draw(st.booleans())
    steps: Steps = [{"system A": a}, {"system AAAA": SIX if six else "dns_no_answer"}]
    for address in ((), FOUR[:count])[not lost] + ((SIX,) if six else ()):
        steps += draw(climb(kind, address, fails=fails))
    return steps


@st.composite
def climb(draw: st.DrawFn, kind: str, address: str, *, fails: bool) -> Steps:
    steps: Steps = []
    for step in (f"connect {address}", *KINDS[kind]):
        words = sorted(METHOD_BY_FAILURE[OPERATIONS[step.split(" ")[0]]])
        word = draw(st.sampled_from((*words, *LOCAL))) if fails and draw(st.booleans()) else "ok"
        if word.startswith("ssl"):
            word += draw(st.sampled_from(("", " key-of-censor CN=Censor")))
        steps.append({step: 200 if word == "ok" and step[:4] in ("http", "body") else word})
        if word != "ok":
            break
    return steps


@settings(max_examples=limit_examples(400), deadline=None)
@given(visits())
def test_loss_never_blocks(drawn: tuple[Measurement, ControlView, list[int]]) -> None:
    here, control, kept = drawn
    (before,) = judge(taken(here), control)
    (after,) = judge(taken(keep_observations(here, kept)), control)
    if before.state is VerdictState.UNKNOWN:
        assert after.state is not VerdictState.BLOCKED, f"{before} became {after}"
