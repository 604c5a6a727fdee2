"""Rules for plain text."""
