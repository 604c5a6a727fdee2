"""Operations: upgrade, restore, log messages."""
