"""What decides the words: all that the digest of a decoder must name."""
