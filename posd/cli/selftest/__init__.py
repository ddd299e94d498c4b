"""`posd selftest`: the vectors and a scripted day by the shop's own settings."""
