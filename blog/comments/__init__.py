"""Posting, filtering and moderating comments."""
