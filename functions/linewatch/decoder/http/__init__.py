"""What a request asks of the decoder, read and checked, and the worker that serves it."""
