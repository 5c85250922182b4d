"""HTTP: requests in, `intake` and the newest state behind it, replies out."""
