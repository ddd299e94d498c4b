"""Lines to the host: one link or several routes, persistent or a connection for each message."""
