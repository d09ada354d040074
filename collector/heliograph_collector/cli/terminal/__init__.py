"""What `heliograph-collector top` is made of: a picture of the world, a wire, a screen."""
