"""The session store: Redis scripts that take a step only from the session's owner."""
