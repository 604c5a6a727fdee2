"""Search queries, matches, ranking and highlighting."""
