"""What becomes of a comment, and what is remembered of its author."""
