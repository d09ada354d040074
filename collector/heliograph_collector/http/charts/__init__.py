"""SVG and PNG charts of the public pages."""
