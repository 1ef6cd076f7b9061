"""The image: what is in it, and how a container of it starts."""
