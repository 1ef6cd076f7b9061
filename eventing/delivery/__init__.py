"""One source of events: read from its log, delivered to its function, settled."""
