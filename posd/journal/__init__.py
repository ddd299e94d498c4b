"""REMEMBERS: the append-only, chained journal. Nothing leaves the process before its record is durable here."""
