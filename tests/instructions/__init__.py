"""The instruction budget: what a request costs the gateway, counted, against a stored ceiling; see `__main__`."""
