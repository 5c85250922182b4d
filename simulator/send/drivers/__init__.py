"""What speaks to the gateway and the broker: small clients of our own, fast enough to measure with."""
