"""Both sides of a comparison: the vantage with its profile, and the controls."""

import msgspec

from heliograph.observation import Http
from heliograph_collector.judge.control_looks import ControlLooks
from heliograph_collector.judge.endpoint_view import EndpointView
from heliograph_collector.judge.measurement_steps import NO_STEPS, MeasurementSteps
from heliograph_collector.model.control_look import VantageProfile


class Sides(msgspec.Struct, frozen=True):
    """One endpoint or page as both sides saw it."""

    vantage: EndpointView
    control: EndpointView
    looks: ControlLooks
    profile: VantageProfile
    has_foreign_resolver: bool = False  # the vantage asks a resolver in another network
    vantage_steps: MeasurementSteps = NO_STEPS  # of the vantage's whole measurement
    is_imported: bool = False  # the vantage is no agent of ours
    landing: Http | None = None  # where a redirect in clear led that is not believed
