"""The words of requests and answers."""
