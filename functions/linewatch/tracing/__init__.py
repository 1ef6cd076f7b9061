"""Spans of one event's way, and where they are sent."""
