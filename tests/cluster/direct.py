"""The road to one pod past the gateway, its counters, and how it ended."""

from __future__ import annotations

import base64
import contextlib
import json
import random
import re
import subprocess
import threading

import urllib3

from linewatch.gateway.decoders import Decoders
from tests.cluster.kube import eventually
from tests.cluster.lines import line_of, push
from tests.cluster.spread import are_live


class Direct:
    """One decoder pod behind a ``kubectl port-forward``."""

    def __init__(self, pod, url, token):
        self.pod = pod
        self.url = url
        #: What the cookies it set say: tenant, call and pod.
        self.hints = []
        self._decoders = Decoders([url], token=token, chance=random.Random(0), read_s=4.0)

    def send(self, method, path, headers, body):
        """Send one request; see `Transport.send`."""
        answer = self._decoders.send(method, path, headers, body)
        self.hints += [_hint(cookie) for cookie in answer.cookies]
        return answer

    def metric(self, name):
        """Return one counter of the pod."""
        text = urllib3.request("GET", f"{self.url}/metrics", timeout=10).data.decode()
        (found,) = [row for row in text.splitlines() if row.startswith(f"{name} ")]
        return float(found.split()[1])


def _hint(cookie):
    payload = cookie.partition(";")[0].partition("=")[2].partition(".")[0]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def _kubectl(cluster, *arguments):
    command = ("kubectl", "-n", cluster.env["NAMESPACE"], *arguments)
    return subprocess.Popen(command, env=cluster.env, stdout=subprocess.PIPE, text=True)


def _end(process, reader):
    process.terminate()
    process.wait()
    if reader.ident:
        reader.join()
    process.stdout.close()


@contextlib.contextmanager
def direct(cluster, pod, token):
    """Open the road to *pod*; its app answers there, without the queue-proxy."""
    command = (
        "kubectl",
        "-n",
        cluster.env["NAMESPACE"],
        "port-forward",
        f"pod/{pod.name}",
        ":8080",
    )
    process = subprocess.Popen(command, env=cluster.env, stdout=subprocess.PIPE, text=True)
    reader = threading.Thread(target=process.stdout.read, daemon=True)
    try:
        said = process.stdout.readline()
        port = re.search(r"127\.0\.0\.1:(\d+)", said)
        assert port, f"port-forward said {said!r}"
        reader.start()
        yield Direct(pod, f"http://127.0.0.1:{port[1]}", token)
    finally:
        _end(process, reader)


def begun_elsewhere(cluster, call, owner, wrong):
    """Begin *call* at its owner; return a line that goes on with it, at another pod, unopened."""
    line = line_of(call, owner)
    line.open()
    push(line, call, 0)
    eventually(lambda: are_live(cluster, [call]), 20)
    line.abandon()
    away = line_of(call, wrong)
    away.resume(20)
    return away


class Watch:
    """Follows one pod until it is gone, to tell how its app's container ended."""

    def __init__(self, cluster, pod):
        self._name = pod.containers[0]
        self._exit_codes = []
        how = ("--watch", "--output-watch-events", "-o", "json")
        self._process = _kubectl(cluster, "get", "pod", pod.name, *how)
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self):
        text, decoder = "", json.JSONDecoder()
        for line in self._process.stdout:
            text += line
            try:
                told, end = decoder.raw_decode(text)
            except ValueError:
                continue
            text = text[end:].lstrip()
            self._see(told["object"])
            if told["type"] == "DELETED":
                break

    def _see(self, pod):
        for each in pod["status"].get("containerStatuses", []):
            ended = each["state"].get("terminated")
            if each["name"] == self._name and ended:
                self._exit_codes.append(ended["exitCode"])

    def exit_code(self, timeout_s):
        """Return the code the app ended with, once the pod is gone."""
        self._thread.join(timeout_s)
        assert not self._thread.is_alive(), f"the pod was still there after {timeout_s} s"
        return self._exit_codes[-1] if self._exit_codes else None

    def stop(self):
        """Follow it no more."""
        _end(self._process, self._thread)
