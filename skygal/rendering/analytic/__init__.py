"""Points, Gaussians and exponential discs in bulk."""
