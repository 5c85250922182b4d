"""How much a gateway can take: runs at rising rates until a limit breaks, then ever closer to where it broke."""
