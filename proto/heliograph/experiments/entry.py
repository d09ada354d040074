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
class VoiceClass:
    """Name one class whose state the voice code reports.

    `number` is its place in the code: a wire format, never changed and never given again.
    """

    number: int
    name: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentEntry:
    """Describe an experiment: all that both sides know except the code that runs it."""

    name: str
    version: int  # raised when what it sends or records changes its meaning
    title: str
    category: Category
    config: type[Any]  # a frozen dataclass whose fields are made by `option`
    target_kind: Wants  # what its target is
    default_target: str = ""  # the service that is tested when nobody names a target
    function: str = ""  # the agent's function that runs it, where it is not named `name`
    requires: str = ""  # what has to be installed beside the agent, as a requirement of pip
    interval_s: int = 600  # in the default plan
    planned: bool = True  # whether its services are in the default plan
    planned_targets: tuple[str, ...] = ()  # what the default plan asks for besides services
    role: str = ""  # of the agents that the default plan is for; "" for everybody
    visit_bytes: int = 0  # what one visit costs besides its service's endpoints; 0 when not known
    ooni_test: str = ""  # OONI's name of the same test, where there is one
    voice: tuple[VoiceClass, ...] = ()
    protocols: Mapping[str, str] = field(default_factory=dict, hash=False)  # Exchange.protocol
    replies: Mapping[str, str] = field(default_factory=dict, hash=False)  # Exchange and Hop.reply

    @property
    def function_name(self) -> str:
        """The agent's function, which is also the name of its module and of its page."""
        return self.function or self.name
