"""`posd demo`: real processes, bad days, and an audit to the cent."""
