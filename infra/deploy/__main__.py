"""The command: ``sh infra/deploy.sh OVERLAY``."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from infra.deploy import checks, overlay, removal
from infra.deploy.cluster import Cluster
from infra.deploy.deployment import dashboard, deploy, dry_run
from infra.deploy.kubectl import Kubectl
from infra.deploy.options import Options, read
from infra.deploy.progress import Progress
from infra.deploy.served import Served
from infra.manifests.objects import Object
from linewatch.errors import LinewatchError

_FAILED: Final = 1
_INTERRUPTED: Final = 130


def main(
    arguments: Sequence[str],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Do what the command line says; return the exit status."""
    options = read(arguments)
    progress = Progress(sys.stdout)
    try:
        return _run(options, _Tools(progress, clock, sleep))
    except LinewatchError as error:
        progress.say(f"FAILED: {error.detail}")
        return _FAILED
    except KeyboardInterrupt:
        progress.say("interrupted: run the same command again")
        return _INTERRUPTED


@dataclass(frozen=True)
class _Tools:
    """The display of the progress, and the time."""

    progress: Progress
    clock: Callable[[], float]
    sleep: Callable[[float], None]


def _run(options: Options, tools: _Tools) -> int:
    kubectl, say = Kubectl(), tools.progress.say
    folder = overlay.find(options.overlay)
    objects = overlay.render(kubectl, folder, options.changes)
    kubectl = kubectl.elsewhere(overlay.namespace_of(objects))
    checks.answers(kubectl)
    served = Served(kubectl)
    if served.only_v1beta1(objects):
        say("Knative Kafka is older than 1.16: applying KafkaSource as v1beta1")
        changes = dataclasses.replace(options.changes, v1beta1=True)
        objects = overlay.render(kubectl, folder, changes)
    say(f"namespace {kubectl.namespace} of {kubectl.context()}")
    cluster = Cluster(kubectl, tools.progress, options.timeout_s, tools.clock, tools.sleep)
    if options.delete:
        return _remove(options, cluster, [each for each in objects if served.knows(each)], tools)
    found = checks.findings(kubectl, served, objects, force=options.force)
    for note in found.notes:
        say(f"note: {note}")
    if _are_faults(found.faults, tools.progress):
        return _FAILED
    return _deploy(options, cluster, objects, tools)


def _deploy(options: Options, cluster: Cluster, objects: Sequence[Object], tools: _Tools) -> int:
    say = tools.progress.say
    if options.dry_run:
        say(dry_run(cluster.kubectl, objects).rstrip())
        say("nothing was changed")
        return 0
    deploy(cluster, objects, tools.progress)
    say(dashboard(cluster.kubectl, objects))
    return 0


def _remove(options: Options, cluster: Cluster, objects: Sequence[Object], tools: _Tools) -> int:
    faults = () if options.force else removal.faults(cluster.kubectl, objects)
    if _are_faults(faults, tools.progress):
        return _FAILED
    removal.remove(cluster, objects, tools.progress)
    for line in removal.kept(cluster.kubectl, objects):
        tools.progress.say(line)
    return 0


def _are_faults(faults: Sequence[str], progress: Progress) -> bool:
    for fault in faults:
        progress.say(f"FAILED: {fault}")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
