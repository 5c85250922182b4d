"""The proof of what became of every reading: ledgers in, findings out, by way of the database and the API."""
