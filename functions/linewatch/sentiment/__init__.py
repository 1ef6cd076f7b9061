"""The sentiment function: one utterance in, one score out."""
