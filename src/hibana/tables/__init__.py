"""Curated tables: columns with units, rows that can be traced, and a reason for every candidate left out."""
