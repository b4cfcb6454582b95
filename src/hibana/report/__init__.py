"""Figures for print and the results at a glance."""
