"""Check for `doctor` the tables that place agents in countries and networks."""

from heliograph_collector.cli.finding import Finding, Level
from heliograph_collector.config.settings import Config

_SUBJECT = "places"
_PAGE = 'deploy/collector/README.md, "Country and network tables"'


def check_places(config: Config) -> Finding:
    """Check that both tables exist: without networks, each country has only one."""
    from heliograph_collector.ingest.geo.lookup import GeoError, GeoLookup

    try:
        missing = GeoLookup(
            config.geo_file("country"), config.geo_file("asn"), secret=b""
        ).missing_tables
    except GeoError as error:
        return Finding(Level.FAILURE, _SUBJECT, str(error))
    if not missing:
        return Finding(Level.OK, _SUBJECT, "tables of countries and networks are installed.")
    losses = {
        "country": "an agent's country is what its volunteer declares",
        "asn": "all agents of a country count as one unknown network",
    }
    sentence = (
        f"no {' and no '.join(missing)} table: {', and '.join(losses[name] for name in missing)}. "
        f"Install open ones by `geo install` ({_PAGE}), and start `serve` again."
    )
    return Finding(Level.WARNING, _SUBJECT, sentence)
