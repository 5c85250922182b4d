"""Attacks beside an honest load: whatever one stranger, device, key or neighbour does, everybody else is served."""
