"""Where sessions should live."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch.calls import ChannelKey
from linewatch.decoder.ownership import placing as module
from linewatch.decoder.ownership.placing import SETTLED, Placing
from linewatch.decoder.store.answers import Owner, Pod, Pressure
from tests.linewatch.decoder.pods import AGENT, CUSTOMER

CALM = Pressure(0.1, 10)


def placed(*loads, capacity=10, pressure=CALM):
    """Return the placing of pod-0, which has seen pods that own *loads* sessions for a while."""
    made = Placing("pod-0", 10, 1000)
    for _ in range(SETTLED + 1):
        made.refresh(seen(*loads, capacity=capacity), pressure)
    return made


def seen(*loads, capacity=10):
    """Return the leases of pods that own *loads* sessions."""
    return [Pod(f"pod-{n}", f"http://{n}", load, capacity) for n, load in enumerate(loads)]


class TestAdmits:
    """Whether a new session may begin here."""

    @pytest.mark.parametrize(("sessions", "admitted"), [(0, True), (9, True), (10, False)])
    def test_up_to_capacity(self, sessions, admitted):
        """A pod takes new sessions up to its capacity."""
        assert placed(0).admits(sessions) is admitted

    @pytest.mark.parametrize(
        ("pressure", "full"),
        [
            (Pressure(0.79, 0), False),
            (Pressure(0.8, 0), True),
            (Pressure(0.0, 799), False),
            (Pressure(0.0, 800), True),
        ],
    )
    def test_not_on_full_store(self, pressure, full):
        """From 80 % of Redis' memory or of the outbox limit on, no new call is taken anywhere."""
        crowded = placed(0, 0, pressure=pressure)
        assert crowded.is_store_full() is full
        assert crowded.admits(0) is not full
        assert (crowded.other(5) is None) is full


class TestOther:
    """Where it may begin instead."""

    def test_emptiest_is_named(self):
        """The emptiest other pod takes what this one has no room for."""
        assert placed(10, 7, 3, 5).other(10) == Owner("pod-2", -1, "http://2")

    @pytest.mark.parametrize("loads", [(5,), (5, 5), (5, 6), (12, 10, 10)])
    def test_none_with_room(self, loads):
        """A pod that owns as much as this one, or is full, is no help."""
        assert placed(*loads).other(loads[0]) is None

    def test_much_emptier(self):
        """What nobody owns goes to a pod that owns three less; else it stays."""
        assert placed(5, 2).emptier(5).pod == "pod-1"
        assert placed(5, 3).emptier(5) is None

    @pytest.mark.parametrize("loads", [(3, 1, 1, 1), (3, 1, 1), (3, 1, 1, 1, 1)])
    def test_what_would_move_again(self, loads):
        """What a pod would soon have to give up it does not take where another owns less."""
        assert placed(*loads).emptier(loads[0])
        assert placed(loads[0] + 1, *loads[1:]).excess(loads[0] + 1)

    def test_what_stays_counts_at_once(self):
        """What came here in the same second counts, even before it is owned; a look corrects it."""
        filling = placed(9, 7, 7)
        assert [filling.emptier(9) and "elsewhere" for _ in range(3)] == [None, *["elsewhere"] * 2]
        filling.refresh(seen(9, 7, 7), CALM)
        assert filling.emptier(9) is None

    def test_next_goes_elsewhere(self):
        """What was just sent to a pod counts there at once, though it was not looked at anew."""
        crowded = placed(10, 3, 3)
        assert [crowded.other(10).pod for _ in range(3)] == ["pod-1", "pod-2", "pod-1"]
        crowded.refresh(seen(7, 5, 4), CALM)
        assert crowded.other(7).pod == "pod-2"


class TestExcess:
    """What a pod owns above its share."""

    @pytest.mark.parametrize(
        ("loads", "excess"),
        [
            ((0,), 0),
            ((40,), 0),
            ((3, 2), 0),
            ((2, 0), 0),
            ((4, 0), 2),
            ((20, 0), 10),
            ((12, 10), 0),
            ((14, 10), 0),
            ((16, 10), 0),
            ((18, 10), 4),
            ((9, 9, 0), 3),
            ((10, 9, 0), 3),
        ],
    )
    def test_above_the_share(self, loads, excess):
        """A pod gives up what is above its share, when that is a quarter more or two sessions."""
        assert placed(*loads).excess(loads[0]) == excess

    @given(loads=st.lists(st.integers(0, 60), min_size=1, max_size=6))
    def test_settles_down(self, loads):
        """When what is given up goes to the emptiest pods, soon nobody gives anything up."""
        for _ in loads:
            for pod, load in enumerate(loads):
                view = [load, *(other for n, other in enumerate(loads) if n != pod)]
                for _ in range(placed(*view).excess(load)):
                    loads[pod] -= 1
                    loads[loads.index(min(loads))] += 1
        for pod, load in enumerate(loads):
            view = [load, *(other for n, other in enumerate(loads) if n != pod)]
            assert placed(*view).excess(load) == 0

    def test_new_pod_is_awaited(self):
        """After a pod came or went nothing is given up until no other did for a while."""
        rolled = placed(10, 0)
        for _ in range(SETTLED):
            rolled.refresh(seen(10, 0, 0), CALM)
            assert rolled.excess(10) == 0
        rolled.refresh(seen(10, 0, 0), CALM)
        assert rolled.excess(10) == 6
        rolled.refresh(seen(10, 0), CALM)
        assert rolled.excess(10) == 0

    def test_alone_before_refresh(self):
        """Before anything is known of others nothing is given up."""
        assert Placing("pod-0", 10, 1000).excess(9) == 0


class TestLikelyOwner:
    """Whom to ask first."""

    def test_noted_before_hinted(self):
        """The pod that answered last is asked before the one a cookie names."""
        known = placed(0, 0, 0)
        known.remember(AGENT, Owner("pod-1", 4, "http://1"))
        assert known.likely_owner(AGENT, "pod-2") == Owner("pod-1", 4, "http://1")
        known.forget(AGENT)
        assert known.likely_owner(AGENT, "pod-2") == Owner("pod-2", -1, "http://2")

    @pytest.mark.parametrize("hinted", [None, "", "pod-0", "pod-dead", "http://169.254.169.254"])
    def test_hint_is_only_a_hint(self, hinted):
        """A cookie that names nobody, this pod or a dead one sends nobody anywhere."""
        assert placed(0, 0).likely_owner(AGENT, hinted) is None

    def test_forgets_nothing_twice(self):
        """Forgetting what was not noted is harmless."""
        placed(0).forget(AGENT)

    def test_old_notes_are_dropped(self, monkeypatch):
        """Whose call was not noted for some looks is forgotten: the call may have ended."""
        monkeypatch.setattr(module, "_NOTED", 2)
        known, owner = placed(0, 0), Owner("pod-1", 1, "http://1")
        known.remember(AGENT, owner)
        known.refresh(seen(0, 0), CALM)
        known.remember(CUSTOMER, owner)
        for expected in ([owner, owner], [None, owner], [None, None]):
            known.refresh(seen(0, 0), CALM)
            assert [known.likely_owner(key, None) for key in (AGENT, CUSTOMER)] == expected

    def test_memory_is_bounded(self, monkeypatch):
        """Only so many owners are remembered: the oldest is forgotten first."""
        monkeypatch.setattr(module, "_REMEMBERED", 2)
        known, owner = placed(0, 0), Owner("pod-1", 1, "http://1")
        third = ChannelKey.of("default", "c3", "agent")
        for key in (AGENT, CUSTOMER, AGENT, third):
            known.remember(key, owner)
        assert [known.likely_owner(key, None) for key in (AGENT, CUSTOMER, third)] == [
            owner,
            None,
            owner,
        ]
