"""Who may send for whom."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch.decoder.http.tenants import Tenants
from linewatch.errors import BadName, Forbidden, LinewatchError, Unauthorized
from linewatch.settings import token_digest

OPEN = Tenants({})
CLOSED = Tenants({token_digest("secret-a"): "acme", token_digest("secret-b"): "beta"})


@pytest.mark.parametrize(("claimed", "tenant"), [(None, "default"), ("", "default"), ("x", "x")])
def test_open_house_believes(claimed, tenant):
    """Without tokens a request acts for whom it names, else for the default tenant."""
    assert OPEN.of(None, claimed) == tenant


def test_open_house_checks_names():
    """Even then a tenant's name must be one."""
    with pytest.raises(BadName):
        OPEN.of(None, "a b")


@pytest.mark.parametrize("claimed", [None, "", "beta"])
def test_token_names_tenant(claimed):
    """A token belongs to one tenant, named or not."""
    assert CLOSED.of("Bearer secret-b", claimed) == "beta"


@pytest.mark.parametrize("scheme", ["bearer ", "BEARER ", "Bearer   ", " bearer  "])
def test_scheme_has_no_case(scheme):
    """The scheme may be written in any case, and followed by several spaces."""
    assert CLOSED.of(f"{scheme}secret-b", None) == "beta"


@pytest.mark.parametrize(
    "header", [None, "", "secret-a", "Basic secret-a", "Bearer", "Bearer ", "Bearer secret-c"]
)
def test_no_token_no_entry(header):
    """No token, an unknown one or another scheme is 401."""
    with pytest.raises(Unauthorized):
        CLOSED.of(header, None)


def test_foreign_tenant_is_forbidden():
    """A token does not open another tenant's door."""
    with pytest.raises(Forbidden):
        CLOSED.of("Bearer secret-a", "beta")


@given(header=st.none() | st.text(st.characters(codec="latin-1")), claimed=st.none() | st.text())
def test_anything_else_is_refused(header, claimed):
    """Whatever the headers hold, nobody gets in by accident and nothing else goes wrong."""
    with pytest.raises(LinewatchError):
        CLOSED.of(header, claimed)
