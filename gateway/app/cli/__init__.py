"""The gateway's sub-commands; `gateway.app.cli.main` mounts them."""
