"""Acts on entries and pages."""
