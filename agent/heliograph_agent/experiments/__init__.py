"""The literal registry: one line for each experiment."""
