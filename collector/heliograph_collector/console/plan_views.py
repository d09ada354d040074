"""The contents of the pages of plans and services."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from heliograph.plan import Plan, Service
from heliograph.services import Services
from heliograph_collector.console.plan_changes import PlanChange, PlanPreview
from heliograph_collector.console.plan_form import PlanForm
from heliograph_collector.console.templates import PageView
from heliograph_collector.fleet.plans import PlanSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTaskLine:
    """A task of the plan, in words."""

    name: str
    interval: str
    role: str  # "" for everybody


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanView(PageView):
    template: ClassVar[str] = "plan.html"
    plan: Plan | None
    tasks: Sequence[PlannedTaskLine]
    plan_yaml: str
    history: Sequence[PlanSummary]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanVersionView(PageView):
    template: ClassVar[str] = "edition.html"
    plan: Plan
    plan_yaml: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPreviewView(PageView):
    template: ClassVar[str] = "preview.html"
    plan_yaml: str
    preview: PlanPreview
    max_consents: int  # listed at most
    version: int  # of the plan that it replaces


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanEditorView(PageView):
    template: ClassVar[str] = "editor.html"
    plan_yaml: str
    form: PlanForm | None
    error_text: str
    experiments: Sequence[str]
    services: Sequence[Service]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicesView(PageView):
    template: ClassVar[str] = "services.html"
    services: Services
    source: str  # of the services in use
    services_yaml: str
    error_text: str
    checked_version: str  # of a checked file, "" without one
    changes: Sequence[PlanChange]
    new_hosts: Sequence[str]
