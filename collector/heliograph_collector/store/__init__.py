"""Store: columnar tables of measurements, verdicts and cells, and the journal.

Example:
    store = Store(f"chdb://{data / 'store'}")
    await store.open()
    page = await store.measurements(MeasurementFilter(country="KZ"), limit=10)
    await store.close()
"""
