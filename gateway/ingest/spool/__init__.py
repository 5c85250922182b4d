"""The spool: what the database cannot take yet, safe on disk."""
