"""A country with one condition of the network per row of the catalogue, all of them at once."""
