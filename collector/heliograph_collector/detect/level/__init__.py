"""Level channel: cells whose level falls below what its own past allows.

detector = LevelDetector()
for reading in readings:  # in order of the ends of their steps
    detector.add(reading)
detector.advance_to(until_us)
incidents = detector.incidents()
"""
