"""How fast a gateway is, and what that costs: its throughput beside the raw COPY rate of the same rows."""
