"""The English model, fetched and made ready for the decoder."""
