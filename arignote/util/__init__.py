"""Small things that every part of the library uses: random streams, checks of arguments, logging, plots."""
