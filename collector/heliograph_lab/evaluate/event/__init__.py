"""Real events in the formats of their publishers, as replays. README.md is the manual."""
