"""Recordings played as phone lines would speak them."""
