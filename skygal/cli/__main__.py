"""``python -m skygal.cli``."""

from skygal.cli.main import main

main()
