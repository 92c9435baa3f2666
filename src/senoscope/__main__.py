"""``python -m senoscope``."""

from senoscope.cli.main import main

if __name__ == "__main__":
    main()
