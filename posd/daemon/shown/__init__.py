"""What posd shows: the same with the daemon up or down. Reads; never decides."""
