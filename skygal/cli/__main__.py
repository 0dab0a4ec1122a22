"""``python -m skygal.cli``."""

import sys

from skygal.cli.main import main

sys.exit(main())
