"""Events on their way to the event log: which pod sends what waits in Redis, in order."""
