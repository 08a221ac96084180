"""``python -m comrec``."""

import sys

from comrec.cli import main

sys.exit(main())
