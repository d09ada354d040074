"""Rows and signals that the stages of the collector exchange.

location = VantageLocation("KZ", "ALA", 9198, "mobile")
Scope("KZ", access="mobile").includes(location)  # True
derive_vote_value("reachable", reachable=2, endpoints=5)  # VoteValue.PARTIAL
"""
