"""A country with one network condition per row of the catalogue, all at once."""
