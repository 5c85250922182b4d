"""Who may come in, and what may."""
