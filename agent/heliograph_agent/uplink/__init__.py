"""The way to the collector: one session at a time, and patience between them."""
