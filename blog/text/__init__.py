"""Rules for plain text, whatever it is for."""
