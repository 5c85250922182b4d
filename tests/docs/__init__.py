"""Tests that keep README, docs and container files true."""
