"""Layer by layer, from the lookup up: what fails here and works at the control.

Strengths say how often such a failure is interference and no accident, for one measurement alone;
that many vantages agree is weighed later, by the rollup.
"""

from heliograph_collector.judge.rules.dns import ASTRAY, DNS
from heliograph_collector.judge.rules.http import HTTP
from heliograph_collector.judge.rules.protocols import PROTOCOL, QUIC
from heliograph_collector.judge.rules.rule import Rule
from heliograph_collector.judge.rules.tcp import TCP
from heliograph_collector.judge.rules.tls import TLS

LAYERS: tuple[Rule, ...] = (*DNS, *TCP, *ASTRAY, *TLS, *QUIC, *PROTOCOL, *HTTP)
