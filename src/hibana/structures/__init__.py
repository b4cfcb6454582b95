"""Structures: reading, standardising, identity."""
