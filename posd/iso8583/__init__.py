"""Bytes to messages and back: field tables, BCD, sub-fields, TLV, masking. Pure; knows no socket and no money."""
