"""Keys, MACs and the card vault. What is secret here is never shown, pickled or written in the clear."""
