"""The processes of functions that have none until somebody asks."""
