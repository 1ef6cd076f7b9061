"""Which pod owns a call, how a step finds it, and how it moves."""
