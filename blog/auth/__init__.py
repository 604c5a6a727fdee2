"""Access control for the sections of the site."""
