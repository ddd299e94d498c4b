"""`posd setup`: posd as a service of this machine."""
