"""Blocking in votes that are too few for minutes, such as OONI's rows.

incidents = detect_sparse(votes, other_votes)  # in bins of an hour
"""
