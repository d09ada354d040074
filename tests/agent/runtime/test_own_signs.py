"""The agent reports faults of its machine and home, from anchors and tests."""

from dataclasses import replace
from typing import Any

import pytest

from heliograph.failure import Operation
from heliograph.observation import Exchange, Measurement, Observation
from heliograph_agent.runtime.own_signs import OwnSign, update_signs
from heliograph_agent.runtime.status_file import AgentStatus, describe_for_disk
from support.scenario import measurement

ISSUER = "CN=Cautious Scanner Root"
FORGED = f"ssl_unknown_authority key {ISSUER}"


def lines(name: str, address: str = "5.6.7.8", tls: str = "ok") -> Any:
    return [{f"system A {name}": address}, {f"connect {address}": "ok"}, {f"tls {name}": tls}]


def anchors(**changed: Any) -> Measurement:
    good = {f"foreign-{n}": lines(f"{n}.example") for n in "ab"}
    return measurement({**good, **changed}, experiment="connectivity")


DECRYPTED = anchors(**{f"foreign-{n}": lines(f"{n}.example", "5.6.7.8", FORGED) for n in "ab"})
NO_NAME = {f"foreign-{n}": [{f"system A {n}.example": "dns_nxdomain_error"}] for n in "ab"}
DENIED = anchors(**NO_NAME)
ECHO = Observation(
    operation=Operation.EXCHANGE, started_us=0, duration_us=1,
    exchange=Exchange(protocol="http_echo", reply="echo", differences=("header_case",)),
)  # fmt: skip


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (anchors(), {}),
        (DECRYPTED, {OwnSign.DECRYPTS: ISSUER}),
        (anchors(**{"foreign-a": lines("a.example", "5.6.7.8", FORGED)}), {}),
        (anchors(**{"foreign-a": [{"tls a.example": "connection_reset"}]}), {}),
        (DENIED, {OwnSign.DENIES: ""}),
        (anchors(**{"foreign-a": lines("a.example", "198.18.0.7", "ok")}), {OwnSign.TUNNELS: ""}),
        (measurement([{"system A ads.example": "0.0.0.0"}]), {OwnSign.FILTERS: ""}),
        (measurement([{"udp A ads.example": "0.0.0.0"}]), {}),
        (replace(anchors(), experiment="middlebox", observations=(ECHO,)),
         {OwnSign.CHANGES_WEB: ""}),
        (replace(DECRYPTED, not_measured="The machine slept."), {}),
        (replace(DECRYPTED, experiment="web"), {}),
    ],
)  # fmt: skip
def test_signs_of_one_measurement(seen: Measurement, expected: dict[str, str]) -> None:
    assert update_signs({}, seen) == expected


def test_anchors_refute_what_anchors_showed() -> None:
    filtered = measurement([{"system A ads.example": "::"}])
    signs = update_signs(update_signs({}, DECRYPTED), filtered)
    assert signs == {OwnSign.DECRYPTS: ISSUER, OwnSign.FILTERS: ""}
    assert update_signs(signs, anchors()) == {OwnSign.FILTERS: ""}


def test_signs_stay_off_the_disk() -> None:
    status: AgentStatus = {"epoch": "e", "own_signs": {OwnSign.DECRYPTS: ISSUER}}
    assert describe_for_disk(status) == {"epoch": "e"}
