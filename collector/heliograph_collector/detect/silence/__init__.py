"""Silence detector: incidents of vantages that stop reporting together.

detector = SilenceDetector()
for signal in signals:  # in order of time
    detector.on_signal(signal)
incidents = detector.findings().incidents
"""
