"""Admission: who may come in, and what may."""
