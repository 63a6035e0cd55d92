"""``python -m plantroom_cloud``: the same as ``plantroom-cloud``."""

import sys

from plantroom_cloud.cli import main

sys.exit(main())
