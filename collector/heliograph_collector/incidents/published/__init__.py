"""Documents and feeds of incidents, and the bodies of the signed log.

bracket = BracketDocument("2022-01-05T10:03:00Z", "2022-01-05T10:05:00Z")
msgspec.json.encode(bracket)  # {"earliest":"2022-01-05T10:03:00Z","latest":…}
"""
