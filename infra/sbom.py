"""The SBOM: what the lock pins, as an SPDX 2.3 document.

::

    python -m infra.sbom > sbom.spdx.json

It comes of the lock alone, without the network: the same lock gives the same packages.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from linewatch import __version__

LOCK: Final = Path(__file__).resolve().parents[1] / "requirements.txt"
_PIN: Final = re.compile(r"^([a-z0-9-]+)(?:\[[^]]*\])?==([^ ;\\]+)(.*(?:\n .*)*)", re.MULTILINE)
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
#: How the lock names what a pin is there for, on one line or on several: ``# via flask``.
_REQUIRER: Final = re.compile(r"^    # (?:via|  ) ?([a-z0-9-]+)", re.MULTILINE)
#: The name of our own distribution in pyproject.toml, fixed by func.
_OURS: Final = "function"
_ROOT_ID: Final = "SPDXRef-linewatch"
_UNKNOWN: Final = "NOASSERTION"


@dataclass(frozen=True, slots=True)
class Pin:
    """One package of the lock: the SHA-256 of each file that pip may take, and who requires it."""

    name: str
    version: str
    sha256: tuple[str, ...]
    required_by: tuple[str, ...]


def pins(lock: str) -> Iterator[Pin]:
    """Yield the pins of *lock*, a hashed requirements file as uv writes it."""
    for name, version, rest in _PIN.findall(lock):
        yield Pin(name, version, tuple(_HASH.findall(rest)), tuple(_REQUIRER.findall(rest)))


def document(lock: str, version: str, created: datetime) -> dict[str, Any]:
    """Return the SPDX document of *version*, whose dependencies are those of *lock*."""
    found = list(pins(lock))
    digest = hashlib.sha256(lock.encode()).hexdigest()
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"linewatch-{version}",
        "documentNamespace": f"urn:linewatch:sbom:{version}:{digest}",
        "creationInfo": {
            "created": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": [f"Tool: linewatch-sbom-{version}"],
        },
        "comment": "The checksums of a package are those of the files that pip may take for it.",
        "packages": [_ours(version), *(_package(each) for each in found)],
        "relationships": list(_relationships(found)),
    }


def _ours(version: str) -> dict[str, Any]:
    return {
        "SPDXID": _ROOT_ID,
        "name": "linewatch",
        "versionInfo": version,
        "downloadLocation": _UNKNOWN,
        "filesAnalyzed": False,
        "licenseDeclared": "Apache-2.0",
        "primaryPackagePurpose": "APPLICATION",
    }


def _package(pin: Pin) -> dict[str, Any]:
    purl = f"pkg:pypi/{pin.name}@{pin.version}"
    return {
        "SPDXID": _id(pin.name),
        "name": pin.name,
        "versionInfo": pin.version,
        "downloadLocation": _UNKNOWN,
        "filesAnalyzed": False,
        "primaryPackagePurpose": "LIBRARY",
        "checksums": [{"algorithm": "SHA256", "checksumValue": each} for each in pin.sha256],
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": purl,
            }
        ],
    }


def _id(name: str) -> str:
    return _ROOT_ID if name == _OURS else f"SPDXRef-pypi-{name}"


def _relationships(found: Iterable[Pin]) -> Iterator[dict[str, str]]:
    yield _relationship("SPDXRef-DOCUMENT", "DESCRIBES", _ROOT_ID)
    for pin in found:
        for requirer in pin.required_by:
            yield _relationship(_id(requirer), "DEPENDS_ON", _id(pin.name))


def _relationship(of: str, kind: str, to: str) -> dict[str, str]:
    return {"spdxElementId": of, "relationshipType": kind, "relatedSpdxElement": to}


def main() -> None:
    """Print the SBOM of this tree."""
    made = document(LOCK.read_text(), __version__, datetime.now(UTC))
    sys.stdout.write(json.dumps(made, indent=2) + "\n")


if __name__ == "__main__":
    main()
