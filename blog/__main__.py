"""``python -m blog`` is the command ``threadleaf``."""

import sys


def main() -> None:
    """Run the command. Ctrl-C ends it quietly while its modules are still being imported, too."""
    try:
        from blog.cli.main import main as command
    except KeyboardInterrupt:
        sys.exit(130)
    command()


if __name__ == "__main__":
    main()
