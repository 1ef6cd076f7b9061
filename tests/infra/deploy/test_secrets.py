"""How the Secrets of an installation are made: one answer in the checks, the rules and the docs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from infra.deploy import secrets
from infra.manifests.references import OWNERS_SECRETS

DOCS = (Path(__file__).resolve().parents[3] / "docs" / "cluster.md").read_text()


@pytest.mark.parametrize("name", sorted(OWNERS_SECRETS))
def test_command_makes_every_key(name):
    """The command that is told makes just the keys that the rules know of the Secret."""
    told = secrets.command("linewatch", name, ())
    made = re.findall(r"--from-(?:literal|file)=([^= ]+)", told)
    assert set(made) == OWNERS_SECRETS[name]


@pytest.mark.parametrize("name", sorted(OWNERS_SECRETS.keys() - {"linewatch-line"}))
def test_docs_tell_the_command(name):
    """The page for clusters tells the same command; simulated lines bring their Secret."""
    assert secrets.command("linewatch", name, ()) in DOCS
