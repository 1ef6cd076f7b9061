"""Composing the static graph, on stand-ins of the tools; the real build makes `prepared_model`."""

import io
import struct

import pytest

from infra.model import graph
from infra.model.graph import GraphUnavailable, Size
from infra.model.progress import Progress

# The first run on a machine builds the real graph.
pytestmark = pytest.mark.timeout(900)


def const_fst(states, arcs, kind=b"const", *, short_by=0):
    """Return a file with the head of a const FST of that size."""
    names = b"".join(struct.pack("<i", len(name)) + name for name in (kind, b"standard"))
    head = (
        struct.pack("<i", 2_125_659_606) + names + struct.pack("<iiQqqq", 2, 0, 0, 0, states, arcs)
    )
    return head + b"\0" * (states * 20 + arcs * 16 - short_by)


@pytest.fixture(name="halves")
def _halves(tmp_path):
    folder = tmp_path / "graph"
    folder.mkdir()
    (folder / "HCLr.fst").write_bytes(b"left")
    (folder / "Gr.fst").write_bytes(b"right")
    (folder / "disambig_tid.int").write_text("7\n9\n")
    return folder


@pytest.fixture(name="tools")
def _tools(tmp_path, monkeypatch):
    """Put tools on PATH that copy a small graph to their last argument and note their call."""
    folder, ready = tmp_path / "bin", tmp_path / "ready.fst"
    folder.mkdir()
    ready.write_bytes(const_fst(3, 5))
    for name in ("fstsymbols", "fstconvert", "fstcompose", "fstrelabel"):
        note, last = f'echo "$0 $@" >> {tmp_path}/calls', "for last; do :; done"
        (folder / name).write_text(f'#!/bin/sh\n{note}\n{last}\ncp {ready} "$last"\n')
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")
    monkeypatch.setattr(graph, "_plugins", lambda: folder)
    return folder


@pytest.fixture(name="target")
def _target(tmp_path):
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


def build(halves, target, known=None):
    """Build quietly and return what was shown."""
    shown = io.StringIO()
    graph.build(halves, target, known, Progress("building", shown))
    return shown.getvalue()


class TestCheck:
    """Whether a graph can be built at all."""

    def test_halves_and_tools_suffice(self, halves, tools):
        """With tools, plugins and both halves a graph can be built."""
        graph.check(halves)

    @pytest.mark.parametrize("name", ["HCLr.fst", "Gr.fst", "disambig_tid.int"])
    def test_missing_half_is_told(self, halves, tools, name):
        """A model without the two halves has no static graph."""
        (halves / name).unlink()
        with pytest.raises(GraphUnavailable, match="no HCLr"):
            graph.check(halves)

    def test_missing_tools_are_named(self, halves, tools, monkeypatch):
        """Without the tools the packages to install are named."""
        monkeypatch.setenv("PATH", "")
        with pytest.raises(GraphUnavailable, match="apt-get install libfst-tools"):
            graph.check(halves)

    def test_missing_plugins_are_named(self, halves, tools, monkeypatch):
        """Without the plugins the tools cannot read the halves."""
        monkeypatch.setattr(graph, "_plugins", lambda: None)
        with pytest.raises(GraphUnavailable, match="plugins-base"):
            graph.check(halves)

    def test_huge_halves_are_refused(self, halves, tools, monkeypatch):
        """Halves that would compose to tens of gigabytes are left as they are."""
        monkeypatch.setattr(graph, "_LARGEST_HALVES_BYTES", 5)
        with pytest.raises(GraphUnavailable, match="too large"):
            graph.check(halves)


class TestBuild:
    """The steps, and what becomes of a failing one."""

    def test_steps_follow_recipe(self, halves, tools, target, tmp_path):
        """Symbols are cleared, the grammar converted, composed, relabelled, made const."""
        build(halves, target)
        calls = (tmp_path / "calls").read_text().splitlines()
        names = [call.split()[0].rsplit("/", 1)[1] for call in calls]
        assert names == ["fstsymbols", "fstconvert", "fstcompose", "fstrelabel", "fstconvert"]
        assert graph.size(target / "HCLG.fst") == Size(3, 5)
        assert not (target / "work").exists()

    def test_disambiguation_becomes_epsilon(self, halves, tools, target, monkeypatch):
        """Every disambiguation symbol is relabelled to 0."""
        written = []
        monkeypatch.setattr(
            graph, "_run", lambda command: written.append(target / "work" / "relabel.txt") or ()
        )
        monkeypatch.setattr(
            graph, "size", lambda file: written.append(written[0].read_text()) or Size(1, 1)
        )
        build(halves, target)
        assert written[-1] == "7 0\n9 0\n"

    def test_progress_is_shown(self, halves, tools, target):
        """The build tells that it goes on and that it is done."""
        assert build(halves, target).rstrip().endswith("100%")

    def test_wrong_size_is_refused(self, halves, tools, target):
        """A graph of another size than the known one is refused."""
        with pytest.raises(GraphUnavailable, match="expected"):
            build(halves, target, known=Size(4, 5))

    def test_failing_tool_is_told(self, halves, tools, target):
        """What a failing tool said is passed on."""
        (tools / "fstcompose").write_text("#!/bin/sh\necho no lookahead >&2\nexit 1\n")
        with pytest.raises(GraphUnavailable, match="fstcompose failed: no lookahead"):
            build(halves, target)


class TestSize:
    """What a graph file's head tells."""

    def test_built_graph_is_known(self, prepared_model):
        """The graph built from the English model has the size that is known of it."""
        file = prepared_model / "graph" / "HCLG.fst"
        if not file.exists():
            pytest.skip("the OpenFst tools are not installed: this machine has no static graph")
        assert graph.size(file) in graph.KNOWN_SIZES.values()

    @pytest.mark.parametrize("content", [
        b"", b"abc", b"\0" * 200, const_fst(3, 5, b"vector"), const_fst(3, 5, short_by=1),
        struct.pack("<ii", 2_125_659_606, -5), struct.pack("<ii", 2_125_659_606, 1 << 30),
    ])  # fmt: skip
    def test_broken_file_is_refused(self, tmp_path, content):
        """What is no whole const FST is refused with its name."""
        (tmp_path / "x.fst").write_bytes(content)
        with pytest.raises(GraphUnavailable, match=r"x\.fst"):
            graph.size(tmp_path / "x.fst")
