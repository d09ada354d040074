"""Configuration: every key with its default, read from YAML with file and line."""
