"""Answers without a calculation: recorded ones, or synthetic ones of a simple model; no heavy library is imported."""
