"""`python -m reconnect` is the command `reconnect`."""

from reconnect.cli.commands import main

main()
