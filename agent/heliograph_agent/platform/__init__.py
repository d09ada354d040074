"""Do what differs between operating systems; what a system does not say is None."""
