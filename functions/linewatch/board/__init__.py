"""The board: what is known of every call, worst first."""
