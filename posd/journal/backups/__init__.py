"""Backups of a journal: made beside the running daemon, proven by restoring them, put back in one step."""
