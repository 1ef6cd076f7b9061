"""The overlays as a real kustomize renders them."""

from __future__ import annotations

import functools
import os

import pytest

from infra.manifests import checks, kustomize
from infra.manifests.checks import ROOT
from infra.manifests.manifest import parse
from linewatch.errors import SettingsError

OVERLAYS = tuple(folder.name for folder in checks.overlays())
#: Where no kustomize is at hand, go builds one first.
BUILD_S = 900


@functools.cache
def command():
    """Return the command that renders; skip where there is none."""
    return command_or_skip(os.environ)


def command_or_skip(env, built=kustomize.BUILT):
    """Return the command that renders; without one skip with its reason, in CI fail with it."""
    try:
        return kustomize.command(env, built)
    except SettingsError as error:
        if env.get("CI") == "true":
            pytest.fail(f"CI must render the overlays, but {error.detail}")
        pytest.skip(error.detail)


@functools.cache
def rendered(overlay):
    """Return every object of an overlay of ours."""
    return objects(ROOT, overlay)


def objects(root, overlay):
    """Return every object of an overlay of *root*."""
    folder = root / "infra" / "overlays" / overlay
    return parse(kustomize.render(folder, command()), overlay)
