"""The demo's own calls: what is said, who speaks it, and the recordings."""
