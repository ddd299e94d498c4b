"""Bytes to messages and back: field tables, BCD, sub-fields, TLV, masking. Pure: no sockets, no money."""
