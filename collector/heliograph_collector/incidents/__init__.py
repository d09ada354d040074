"""Incidents, and the signed, hash-chained log that records every change of them.

log = IncidentLogWriter(data / LOG_FILE_NAME, key, min_votes=10)
entries = log.write_changes(incidents, basis, now_us)
proof = verify_lines(read_lines(data / LOG_FILE_NAME), key.public)
newest = log.book.incidents()
"""
