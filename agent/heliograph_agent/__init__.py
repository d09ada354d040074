"""Measure on a volunteer's machine, store results, and send them when possible.

>>> from heliograph_agent import cli
>>> cli.main(["probe", "tcp", "192.0.2.1:443"])
"""
