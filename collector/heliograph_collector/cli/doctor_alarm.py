"""Check for `doctor` that somebody is called when the collector itself fails."""

from heliograph_collector.cli.finding import Finding, Level
from heliograph_collector.config.receivers import HealthPolicy, ReceiverKind
from heliograph_collector.config.settings import Config

_SUBJECT = "alarm"


def check_alarm(config: Config) -> Finding:
    """Check that a full disk, or a machine that is off, calls somebody."""
    receivers = [r.name for r in config.alerts if r.health is not HealthPolicy.LEAVE_OUT]
    switches = [r.name for r in config.alerts if r.kind is ReceiverKind.HEARTBEAT]
    if receivers or switches:
        names = ", ".join([*receivers, *switches])
        return Finding(Level.OK, _SUBJECT, f"when this collector fails, it calls: {names}.")
    sentence = (
        "nobody is called when this collector fails: give a receiver of alerts `health: too`, and "
        "add one of the kind heartbeat (alerting/README.md); or let Prometheus watch."
    )
    return Finding(Level.WARNING, _SUBJECT, sentence)
