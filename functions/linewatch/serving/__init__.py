"""How gunicorn serves decoder, functions, sink and activator: a door in front of its threads."""
