"""Configuration: every key with its default, read from YAML with file and line.

Example:
    config = load_config(Path("collector.yaml"), {"grpc": "127.0.0.1:7443"})
    print(config.store, config.entrances)
"""
