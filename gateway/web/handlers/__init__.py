"""Handlers: one file for each group of operations."""
