"""What the collector says to the world: HTTP API, live stream and the page."""
