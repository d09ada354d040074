"""Published detectors of others, run on the same replay. README.md describes each."""
