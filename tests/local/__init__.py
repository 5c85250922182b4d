"""The stack for machines without Docker, with its real servers."""
