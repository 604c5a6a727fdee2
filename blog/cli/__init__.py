"""The command `threadleaf`."""
