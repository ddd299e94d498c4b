"""posd: the long-running agent on or beside a card terminal. Start reading at posd/ARCHITECTURE.md."""
