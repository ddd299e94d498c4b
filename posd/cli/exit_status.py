"""What a command's end says to a script, and where the configuration is looked for. Constants only, imported by all."""

GOOD = 0
FINDINGS = 1
"""It worked, and something needs a person: damage, a late settlement, a stuck reversal."""
MISUSE = 2
"""Wrong arguments, or a configuration that cannot be used."""
FAILURE = 3
"""The daemon refused or is not there, or the storage failed."""
INTERRUPTED = 130
NOBODY_READS = 141
"""The reader of the output went away."""

CONFIG_VARIABLE = "POSD_CONFIG"
CONFIG_DEFAULT = "/etc/posd/posd.yaml"
