"""``python -m analytics_assets``: the command line."""

import sys

from analytics_assets.cli import main

sys.exit(main())
