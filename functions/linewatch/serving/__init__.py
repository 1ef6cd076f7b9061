"""How every HTTP service of ours is served: gunicorn, and a door in front of its threads."""
