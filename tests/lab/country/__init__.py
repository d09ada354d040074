"""A country in a box: networks, regions, agents and a border in one machine."""
