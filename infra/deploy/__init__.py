"""The one command that brings Linewatch onto a cluster: Python 3.9 and its standard library."""
