"""Queries, their matches, and the order of these."""
