"""What a WSGI environment says of a request."""

from __future__ import annotations

from linewatch.serving.environ import headers_of


def test_names_are_in_lower_case():
    """Header fields have the names of RFC 9110, in lower case; nothing else counts as one."""
    told = {"HTTP_CE_ID": "1", "CONTENT_TYPE": "audio/PCMU", "CONTENT_LENGTH": "0"}
    found = headers_of({**told, "SERVER_NAME": "x", "REQUEST_METHOD": "POST"})
    assert found == {"ce-id": "1", "content-type": "audio/PCMU", "content-length": "0"}
