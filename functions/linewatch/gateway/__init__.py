"""The gateway: where phone lines come in; it numbers their audio and posts it to the decoders."""
