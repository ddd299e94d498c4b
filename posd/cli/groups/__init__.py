"""The groups of commands: `posd reversals ...` and the like."""
