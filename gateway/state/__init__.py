"""The newest readings, in Redis: derived, never the only copy."""
