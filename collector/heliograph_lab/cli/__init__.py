"""Commands of the lab, loaded by name by `heliograph-collector`."""
