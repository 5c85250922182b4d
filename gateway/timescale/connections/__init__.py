"""Connections: to which server, as what, and whether it is still the database that we know."""
