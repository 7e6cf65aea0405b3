"""``python -m segmentry``: the command line."""

from segmentry.app.cli import main

if __name__ == "__main__":
    main()
