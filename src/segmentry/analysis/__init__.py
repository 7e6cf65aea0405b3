"""Analyses: results into tables."""
