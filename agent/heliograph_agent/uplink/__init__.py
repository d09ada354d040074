"""Connect to the collector by one transport at a time, with waits between attempts."""
