"""Read what differs between operating systems; a system that does not say it gives None."""
