"""Documents that the collector publishes, from which JSON Schemas are derived.

A class is named like its schema in `/openapi.json`, with the suffix `Document` where another class
has that name. Fields are in the order of the JSON object. Documents of incidents are in
`incidents/published`.

    gap = UnmeasuredTime("2022-01-05T10:03:00Z", "2022-01-05T10:05:00Z")
    msgspec.json.encode(gap)  # {"from":"2022-01-05T10:03:00Z","until":…}
"""
