"""What the simulated devices measure."""
