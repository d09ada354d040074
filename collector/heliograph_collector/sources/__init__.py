"""Sources: readers of public data from IODA, RIPE Atlas, CSV series and OONI.

Example:
    complaints = Complaints()
    for series in ioda.read_series(Path("signals.json"), None, complaints):
        print(series.scope, series.source, len(series.values))
"""
