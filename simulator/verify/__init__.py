"""Prove what became of every reading: ledgers in, findings out, by way of the database and of the gateway's API."""
