"""Corroboration: what BGP, IODA and Cloudflare Radar say beside an incident. It decides nothing.

Off unless the configuration names a source, since to ask is to tell whom we watch. No detector
imports this package, and it imports none: `make check` holds both.
"""

from heliograph_collector.corroborate.annotation import Annotation, What, Why
from heliograph_collector.corroborate.annotation_log import Notes
from heliograph_collector.corroborate.compare import hold_against
from heliograph_collector.corroborate.incident import Entity, Incident, read_incident
from heliograph_collector.corroborate.ioda import IodaConfig
from heliograph_collector.corroborate.radar import RadarConfig
from heliograph_collector.corroborate.ris import RisConfig
from heliograph_collector.corroborate.service import SOURCES, Corroborator, Settings
from heliograph_collector.corroborate.source import Means, SourceError, open_session

__all__ = [
    "SOURCES",
    "Annotation",
    "Corroborator",
    "Entity",
    "Incident",
    "IodaConfig",
    "Means",
    "Notes",
    "RadarConfig",
    "RisConfig",
    "Settings",
    "SourceError",
    "What",
    "Why",
    "hold_against",
    "open_session",
    "read_incident",
]
