"""The processes of one gateway: workers on one socket, watched."""
