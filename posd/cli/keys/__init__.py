"""`posd keys`: what people do to TMKs and to the machine key."""
