"""The watch of a few devices: when readings become visible, in the state and in the live stream, and what does not."""
