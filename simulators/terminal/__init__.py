"""A card terminal to drive a host's ISO 8583 door with: a pure core, a TCP client around it, a line-driven program."""
