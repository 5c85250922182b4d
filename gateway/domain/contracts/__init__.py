"""The joints where rooms meet, as Protocols, and the values that pass there. Each has a real side and one in memory."""
