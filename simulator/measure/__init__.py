"""Runs from start to end: one run, its processes, benches, and the search for what a gateway can take."""
