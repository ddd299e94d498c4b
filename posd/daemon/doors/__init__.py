"""Where terminals come in: TCP and serial lines."""
