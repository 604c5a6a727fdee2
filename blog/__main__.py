"""``python -m blog`` is the command ``threadleaf``."""

from blog.cli import main

main()
