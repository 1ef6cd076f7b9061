"""How a function's events leave it: the sink, its kept connections, and what to do without one."""
