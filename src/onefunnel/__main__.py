"""`python -m onefunnel` is the same as the command `onefunnel`."""

from onefunnel.cli import main

main()
