"""Moving closed months into the archive: what may go, and who does the works, with the daemon up or down (D33)."""
