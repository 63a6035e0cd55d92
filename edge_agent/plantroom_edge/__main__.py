"""``python -m plantroom_edge``: the same as ``plantroom-edge``."""

import sys

from plantroom_edge.start import main

sys.exit(main())
