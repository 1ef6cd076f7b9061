"""The launcher: processes on one machine, started in order, supervised, stopped."""
