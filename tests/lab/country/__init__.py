"""A country in a box: networks, regions, agents and a border, all in namespaces of one machine."""
