"""When readings of a few devices become visible, in the state and in the live stream, and what that leaves out."""
