"""Real events in the formats of their publishers, as replays.

imported = load_event(Path("ioda.json"), "KZ")  # formats
print(format_report(build_report(imported)))  # report
"""
