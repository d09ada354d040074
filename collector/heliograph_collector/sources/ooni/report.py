"""One line for each measurement, in OONI's value sets, so that verdicts can be compared."""

from collections.abc import Sequence
from typing import Any

from heliograph_collector.model.records import State, Verdict
from heliograph_collector.sources.ooni.blocking_only import HERE
from heliograph_collector.sources.ooni.envelope import Imported

BLOCKING = {"dns": "dns", "tcp": "tcp_ip"}  # by layer; else http-failure, as OONI has no other
OTHER_PAGE = frozenset(("other_page", "redirect", "block_page", "status_451"))
PRESUMED = 0.5  # what is left of a confidence that rests on no control


def line(imported: Imported, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    whole = next(v for v in reversed(verdicts) if v.endpoint == "")
    return {
        "input": imported.input or None,
        "test_name": imported.test_name,
        "probe_cc": imported.probe_cc,
        "probe_asn": imported.probe_asn,
        "verdict": whole.state.value,
        "layer": whole.layer,
        "method": "" if _wordless(imported, whole) else whole.method,
        "accessible": accessible(whole),
        "blocking": blocking(imported, whole),
        "confidence": confidence(imported, whole),
        "rule": whole.rule,
    }


def accessible(whole: Verdict) -> bool | None:
    """True where it is reachable, None where nobody can say."""
    if whole.state is State.UNKNOWN:
        return None
    return whole.state is State.REACHABLE


def blocking(imported: Imported, whole: Verdict) -> str | bool | None:
    """OONI's words. False where nothing blocks, None where nobody can say."""
    if whole.state is State.UNKNOWN:
        return None
    if whole.state is not State.BLOCKED:
        return False
    if whole.method in OTHER_PAGE and whole.layer == "http":
        return "http-diff"
    word = BLOCKING.get(whole.layer, "http-failure")
    return "http-failure" if word == "tcp_ip" and _redirected(imported, whole) else word


def _redirected(imported: Imported, whole: Verdict) -> bool:
    """OONI says tcp_ip of the URL's own connection alone, and of one that it lists as such."""
    seen = imported.taken.measurement.observations
    ends = [tcp for i in whole.evidence if i < len(seen) and (tcp := seen[i].tcp)]
    if ends and all(tcp.address == HERE for tcp in ends):
        return True
    labels = {seen[i].endpoint for i in whole.evidence if i < len(seen)}
    return any(label.startswith("redirect-") for label in labels)


def _wordless(imported: Imported, whole: Verdict) -> bool:
    """The step that failed is known, and not how."""
    seen = imported.taken.measurement.observations
    labels = {seen[i].endpoint for i in whole.evidence if i < len(seen)}
    return whole.state is State.BLOCKED and bool(labels) and labels <= imported.wordless


def confidence(imported: Imported, whole: Verdict) -> float:
    weak = imported.presumed and whole.state in (State.BLOCKED, State.DOWN)
    return round(whole.confidence * (PRESUMED if weak else 1.0), 3)


def sentence(imported: Imported, verdicts: Sequence[Verdict]) -> str:
    """The same for a person."""
    found = line(imported, verdicts)
    place = f"{found['probe_cc']} {found['probe_asn']}"
    what = found["verdict"]
    if found["method"]:
        what += (
            f" ({found['layer']}, {found['method']})" if found["layer"] else f" ({found['method']})"
        )
    name = found["input"] or found["test_name"]
    return f"{place}  {name}: {what}, rule {found['rule']}, confidence {found['confidence']:.2f}"
