"""``python -m studium``."""

from studium.cli import main

if __name__ == "__main__":
    main()
