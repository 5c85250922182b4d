"""Health: which parts work, since when not, and what the gauges show of them."""
