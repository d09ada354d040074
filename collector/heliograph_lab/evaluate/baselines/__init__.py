"""What others would have said of the same replay, by their published rules. README.md tells how."""

from heliograph_lab.evaluate.baselines.disco import disco, disco_fitted
from heliograph_lab.evaluate.baselines.ioda import ioda, ioda_routes, ioda_warnings
from heliograph_lab.evaluate.baselines.ooni import ooni, ooni_slow

__all__ = ["disco", "disco_fitted", "ioda", "ioda_routes", "ioda_warnings", "ooni", "ooni_slow"]
