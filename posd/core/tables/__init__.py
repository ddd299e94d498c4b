"""The transition tables: which state moves on what; a pair that a table does not have is refused by name.

The rules in prose stand on top of the lifecycle of the same name. A table never decides.
"""
