"""The contract between agents and the collector: words, messages and the envelope."""

__version__ = "0.1.0"
