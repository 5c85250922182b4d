"""Targets: a gateway, or something else that is to be measured with the same scenario."""
