"""What needs two stores at once: removing a device, listing devices, replaying dead letters."""
