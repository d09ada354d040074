"""Baselines: published detectors of others on the same replay.

alarms = ioda(replay)  # also disco, disco_fitted, ooni
"""
