"""Fault tests as a suite: everything is killed, frozen and cut under load, and every reading is accounted for."""
