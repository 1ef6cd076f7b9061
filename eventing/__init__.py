"""The event topology, and what runs it on one machine."""
