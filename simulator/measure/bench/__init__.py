"""Benches: how fast a gateway is, and what that costs, beside the raw COPY rate of the same rows."""
