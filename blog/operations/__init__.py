"""What an operator does: upgrade, restore, read the log."""
