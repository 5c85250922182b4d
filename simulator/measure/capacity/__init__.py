"""The search for a capacity: runs at rising rates until a limit breaks, then ever closer to where it broke."""
