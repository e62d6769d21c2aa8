"""`python -m reconnect` is the command `reconnect`."""

from reconnect.cli import main

main()
