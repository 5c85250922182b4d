"""The gateway's sub-commands; `gateway.cli` mounts them."""
