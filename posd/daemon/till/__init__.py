"""Where tills come in: JSON over HTTP."""
