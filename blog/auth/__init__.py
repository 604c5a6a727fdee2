"""Who may enter which section."""
