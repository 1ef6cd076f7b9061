"""Utterances that came in, against the scores and dead letters that came of them."""
