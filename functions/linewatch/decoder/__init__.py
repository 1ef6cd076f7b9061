"""The decoder: audio in, transcript events out; any pod can take any call over."""
