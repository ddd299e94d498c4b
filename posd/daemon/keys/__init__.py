"""Key operations: what is done to TMKs and to the machine key, each behind a durable record of it."""
