"""Scaling demos: what a cluster does with live calls."""
