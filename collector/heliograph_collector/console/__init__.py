"""The operator's console at /console: who may come in, and what they see and do there."""
