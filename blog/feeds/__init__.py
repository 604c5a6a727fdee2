"""Feeds in three formats, and entries as JSON-LD."""
