"""`python -m kaa` is `kaa`."""

from kaa.cli import main

if __name__ == "__main__":
    main()
