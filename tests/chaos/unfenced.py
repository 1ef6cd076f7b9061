"""The negative control's scripts: the shipped ones with their fences cut out, and nothing else.

They are derived, so that they cannot drift from what ships; a fence that is no longer where
it was stops the run.
"""

from __future__ import annotations

from linewatch.decoder.store import scripts

NAMES = ("commit", "edge")
#: What is cut out of each script, and what stands there instead.
_CUTS = {
    "commit": (
        ("if found[1] ~= epoch then return {'moved', 0, 0, 0} end\n", ""),
        ("if last < next_seq and stream == known then\n", "if false then\n"),
        ("if ended ~= '' and not comes_back then return answer('ended') end\n", ""),
        ("if seq ~= next_seq then return answer('gap') end\n", ""),
        (
            (
                "if position >= 0 and position < next_position - tonumber(found[7])"
                " then return answer('position') end\n"
            ),
            "",
        ),
    ),
    "edge": (
        (
            (
                "if found[1] ~= ARGV[1] or tonumber(found[2]) < tonumber(ARGV[2])"
                " then return 'moved' end\n"
            ),
            "",
        ),
        ("if found[2] ~= ARGV[2] then return 'done' end\n", ""),
    ),
}


def script(name):
    """Return the shipped script *name* without epoch and without compare-and-set."""
    text = (scripts._LUA / f"{name}.lua").read_text()
    for fence, instead in _CUTS[name]:
        assert text.count(fence) == 1, f"{name}.lua has no fence {fence!r} any more"
        text = text.replace(fence, instead)
    return text
