"""`posd backup`: make, list, prove, restore; and end a journal that moves to another machine."""
