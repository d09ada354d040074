"""Rows and signals that the stages of the collector exchange."""
