"""The far end of a serial line: a port with STX frames or a bare length, and a gateway from it to TCP.

The frames are read and written here anew, not with posd.framing.stx: two readings of one description.
"""
