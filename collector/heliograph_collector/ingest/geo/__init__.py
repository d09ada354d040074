"""Country and network of an address, from local tables."""
