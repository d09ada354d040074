"""Country and network of an address, from local tables.

lookup = GeoLookup(country_file, asn_file, secret)
location = lookup.locate("ipv4:192.0.2.1:50000", now_us)  # country "ZZ" without a table
"""
