"""What the public pages and the console share: refusals, headers, and who may come in."""
