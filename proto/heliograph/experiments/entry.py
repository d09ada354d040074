"""Define a registry entry, and the categories that volunteers choose by."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

Wants = Literal["url", "host", "endpoint", "service", "none"]


class Category(StrEnum):
    """Name a group of experiments that a volunteer can leave out as one."""

    ANCHORS = "anchors"
    NETWORK = "network"
    WEB = "web"
    MESSENGERS = "messengers"
    CIRCUMVENTION = "circumvention"


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitServer:
    """Describe a server that a visit of a single target may name.

    See heliograph.visit_servers.
    """

    label: str = ""  # of its steps; "" for the target itself
    option: str = ""  # that names the server; "" where it is the target
    port: int = 0  # where neither target nor option has one; 0 follows from the scheme
    protocol: str = "tcp"  # tcp, udp


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentEntry:
    """Describe an experiment: everything that both sides know except its code."""

    name: str
    version: int  # raised when the meaning of its traffic or records changes
    title: str
    category: Category
    config: type[Any]  # a frozen dataclass with fields made by `option`
    target_kind: Wants  # the kind of its target
    default_target: str = ""  # the service that is tested when no target is named
    function: str = ""  # the agent's function that runs it, where it is not named `name`
    requires: str = ""  # what else pip installs for the agent, as a path in a checkout
    interval_s: int = 600  # in the default plan
    light_interval_s: int = 0  # of its light check in the default plan; 0 for none
    planned: bool = True  # whether its services are in the default plan
    planned_targets: tuple[str, ...] = ()  # further targets in the default plan
    in_turn: bool = False  # whether the default plan has it for all names of TLS, in turn
    role: str = ""  # role of the agents in the default plan; "" for all
    visitable: bool = False  # whether a control may repeat it at an address (heliograph.visits)
    visit_servers: tuple[VisitServer, ...] = (VisitServer(),)  # of a single target
    visit_bytes: int = 0  # bytes of one visit beyond its endpoints; 0 when unknown
    ooni_test: str = ""  # OONI's name of the same test, where there is one
    protocols: Mapping[str, str] = field(default_factory=dict, hash=False)  # Exchange.protocol
    replies: Mapping[str, str] = field(default_factory=dict, hash=False)  # Exchange and Hop.reply

    @property
    def function_name(self) -> str:
        """Return the agent's function, which also names its module and its page."""
        return self.function or self.name
