"""``python -m comrec``."""

import sys

from comrec.cli import main

if __name__ == "__main__":  # the processes of `comrec bench` import this module
    sys.exit(main())
