"""`python -m photo2cartoon` is `p2c`."""

from photo2cartoon.cli import main

main()
