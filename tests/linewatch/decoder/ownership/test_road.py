"""Whose step it is: mine, another's one hop away, or nobody's any more."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from linewatch.calls import ChannelKey, Chunk, End
from linewatch.decoder.ownership.forwarder import Answer, OwnerGone, OwnerSilent
from linewatch.decoder.ownership.placing import Placing
from linewatch.decoder.ownership.road import Passage, Road
from linewatch.decoder.ownership.sessions import Reply
from linewatch.decoder.store.answers import Owner, Pressure
from linewatch.decoder.store.answers import Pod as Seen
from linewatch.errors import (
    LinewatchError,
    Misdirected,
    NotFound,
    Overloaded,
    OwnerBusy,
    SequenceGap,
    SessionMoved,
    problem,
)
from tests.linewatch.decoder.pods import AGENT, CUSTOMER, START, STEPS, Pod, chunk

THIRD = ChannelKey.of("default", "c3", "agent")
FOURTH = ChannelKey.of("default", "c4", "agent")
FIFTH = ChannelKey.of("default", "c5", "agent")


class Town:
    """Pods that forward to each other without a network; *hops* lists who asked whom."""

    def __init__(self, redis_url):
        self.hops = []
        self.faults = {}
        self.pods = {}
        self.roads = {}
        self.placings = {}
        self._redis_url = redis_url

    def settle(self, name, capacity=60, loads=None):
        """Let a pod come to live here; *loads* is what it sees of the others."""
        pod = self.pods[name] = Pod(self._redis_url, name)
        placing = self.placings[name] = Placing(name, capacity, 1000)
        seen = loads or {}
        placing.refresh(
            [Seen(other, f"http://{other}", load, 60) for other, load in seen.items()],
            Pressure(0.0, 0),
        )
        self.roads[name] = Road(pod.sessions, placing, Wire(self, name), pod.metrics)
        return pod

    def die(self, name):
        """Let a pod end: its lease goes, nobody listens."""
        self.pods[name].killed()
        self.faults[name] = OwnerGone()

    def travel(self, name, step, key=AGENT, **fields):
        """Let a step arrive at a pod."""
        start = START if isinstance(step, Chunk) else None
        passage = Passage(key, step, -1, start, "POST", "/audio", {}, b"", **fields)
        self.roads[name].passages = passage
        return self.roads[name].travel(passage)


class Wire:
    """A forwarder: asks the other pod's road, answers as its HTTP edge would."""

    def __init__(self, town, name):
        self._town = town
        self._name = name

    def send(self, owner, *_):
        """See `Forwarder`."""
        town = self._town
        town.hops.append((self._name, owner.pod))
        if owner.pod in town.faults:
            fault = town.faults[owner.pod]
            made = fault if isinstance(fault, Exception) else fault()
            if isinstance(made, Answer):
                return made
            raise made
        passage = town.roads[self._name].passages
        try:
            found = town.travel(owner.pod, passage.step, passage.key, forwarded=True)
        except LinewatchError as error:
            body, status, headers = problem(error)
            return Answer(status, headers, body.encode())
        return Answer(200, {}, str(found.next_seq).encode())


@pytest.fixture(name="town")
def _town(redis_url):
    town = Town(redis_url)
    yield town
    for pod in town.pods.values():
        # Faults that were raised keep the town alive: its sockets would be collected unclosed.
        pod.store._redis.close()


class TestMine:
    """Steps that are answered where they arrive."""

    def test_new_call_is_mine(self, town):
        """A call nobody has begins where its first chunk arrives."""
        town.settle("a")
        assert isinstance(town.travel("a", STEPS[0]), Reply)
        assert isinstance(town.travel("a", STEPS[1], hinted="b"), Reply)
        assert town.hops == []

    def test_refusals_pass_through(self, town):
        """What the session refuses is refused."""
        town.settle("a")
        town.travel("a", STEPS[0])
        with pytest.raises(SequenceGap):
            town.travel("a", STEPS[5])
        with pytest.raises(NotFound):
            town.travel("a", End(0, "s1"), CUSTOMER)


class TestForward:
    """Steps that belong to another living pod."""

    @pytest.fixture(autouse=True)
    def _begun(self, town):
        town.settle("a")
        town.settle("b", loads={"a": 1, "b": 0})
        town.travel("a", STEPS[0])

    def test_owner_answers(self, town):
        """A step of another's session is answered by its owner, asked once."""
        answer = town.travel("b", STEPS[1])
        assert (answer.status, answer.body) == (200, b"2")
        assert town.hops == [("b", "a")]
        assert town.pods["b"].metrics.forwards._value.get() == 1

    def test_owner_is_remembered(self, town):
        """Once it answered, the owner is asked without a look into the store."""
        town.travel("b", STEPS[1])
        town.pods["b"].store.claim = None
        assert town.travel("b", STEPS[2]).body == b"3"

    def test_cookie_spares_the_store(self, town):
        """A cookie that names the owner spares the look into the store too."""
        town.pods["b"].store.claim = None
        assert town.travel("b", STEPS[1], hinted="a").body == b"2"

    def test_wrong_cookie_is_harmless(self, town):
        """A cookie that names a pod that is not the owner costs a hop: the owner still answers."""
        town.settle("c", loads={"a": 1, "b": 0, "c": 0})
        assert town.travel("c", STEPS[1], hinted="b").body == b"2"
        assert town.hops == [("c", "b"), ("c", "a")]

    def test_one_hop_only(self, town):
        """A forwarded step is never forwarded again: it is told to be misdirected."""
        with pytest.raises(Misdirected):
            town.travel("b", STEPS[1], forwarded=True)
        assert town.hops == []

    def test_problems_are_handed_back(self, town):
        """What the owner refuses is handed back as its answer."""
        assert town.travel("b", STEPS[5]).status == 409

    def test_owner_that_just_moved(self, town):
        """An owner that has the session no more makes the sender send again."""
        town.travel("b", STEPS[1])
        town.placings["b"].forget(AGENT)

        def moved(key, step, **_):
            raise Misdirected("not mine")

        town.pods["a"].sessions.take = moved
        with pytest.raises(SessionMoved):
            town.travel("b", STEPS[2])

    def test_busy_owner_is_not_robbed(self, town):
        """An owner that does not answer in time keeps its session."""
        town.faults["a"] = OwnerBusy("slow")
        for _ in range(2):
            with pytest.raises(OwnerBusy):
                town.travel("b", STEPS[1])
        assert town.pods["a"].store.peek(AGENT).epoch == 1

    def test_stopped_owner_is_succeeded(self, town):
        """An owner that was stopped while remembered is adopted from once its lease is gone."""
        town.travel("b", STEPS[1])
        town.faults["a"] = OwnerBusy("stopped by SIGSTOP")
        with pytest.raises(OwnerBusy):
            town.travel("b", STEPS[2])
        town.pods["a"].killed()
        assert town.travel("b", STEPS[2]).next_seq == 3
        assert town.pods["b"].store.peek(AGENT).epoch == 2

    def test_silence_puts_all_in_doubt(self, town):
        """After one silence no call waits for a stopped pod because it was remembered or hinted."""
        town.travel("a", chunk(), CUSTOMER)
        town.travel("b", STEPS[1])
        town.travel("b", chunk(1, 2000), CUSTOMER)
        town.faults["a"] = OwnerSilent("slow")
        with pytest.raises(OwnerSilent):
            town.travel("b", STEPS[2])
        town.pods["a"].killed()
        assert town.travel("b", chunk(2, 4000), CUSTOMER, hinted="a").next_seq == 3
        assert town.hops == [("b", "a")] * 3

    def test_stopped_meanwhile(self, town):
        """Where the lease ran out while the owner was silent, the step is taken here at once."""

        def silent():
            town.pods["a"].killed()
            return OwnerSilent("stopped by SIGSTOP")

        town.travel("b", STEPS[1])
        town.faults["a"] = silent
        assert town.travel("b", STEPS[2]).next_seq == 3
        assert town.pods["b"].store.peek(AGENT).epoch == 2


class TestAdopt:
    """Steps whose owner is gone."""

    @pytest.fixture(autouse=True)
    def _begun(self, town):
        town.settle("a")
        town.settle("b", loads={"a": 1, "b": 0})
        town.travel("a", STEPS[0])

    def test_lease_is_gone(self, town):
        """A session whose pod's lease is gone is adopted at once."""
        town.die("a")
        assert town.travel("b", STEPS[1]).next_seq == 2
        assert town.hops == []
        assert town.pods["b"].metrics.adoptions._value.get() == 1

    def test_connect_is_refused(self, town):
        """So is one whose pod refuses the connection while its lease still lives."""
        town.faults["a"] = OwnerGone()
        assert town.travel("b", STEPS[1]).next_seq == 2
        assert town.pods["b"].store.peek(AGENT).epoch == 2

    def test_never_reached_owner_keeps_it(self, town):
        """A pod that never reached the owner adopts nothing while the owner's lease lives."""
        town.faults["a"] = OwnerGone(is_certain=False)
        with pytest.raises(OwnerBusy) as refused:
            town.travel("b", STEPS[1])
        assert refused.value.retry_after_s == 1
        assert town.travel("a", STEPS[1]).next_seq == 2
        town.pods["a"].killed()
        assert town.travel("b", STEPS[2]).next_seq == 3

    def test_remembered_owner_died(self, town):
        """So is one whose remembered pod died."""
        town.travel("b", STEPS[1])
        town.die("a")
        assert town.travel("b", STEPS[2]).next_seq == 3

    def test_full_pod_adopts_too(self, town):
        """Adoption knows no limit: a pod that takes no new call takes over an old one."""
        town.settle("full", capacity=0)
        town.die("a")
        assert town.travel("full", STEPS[1]).next_seq == 2

    def test_another_adopted_first(self, town):
        """When a third pod was faster, the step goes there."""
        town.settle("c")
        town.faults["a"] = OwnerGone()
        take = town.pods["b"].sessions.take

        def slow(key, step, *, dead=None, **named):
            if dead:
                town.travel("c", STEPS[1])
            return take(key, step, dead=dead, **named)

        town.pods["b"].sessions.take = slow
        assert town.travel("b", STEPS[2]).body == b"3"
        assert town.hops[-1] == ("b", "c")


class TestEmptier:
    """Steps of sessions that nobody owns."""

    @pytest.fixture(autouse=True)
    def _settled(self, town):
        town.settle("a", loads={"a": 3, "b": 0})
        town.settle("b", loads={"a": 3, "b": 0})
        for key in (AGENT, CUSTOMER, FIFTH):
            town.travel("a", chunk(), key, forwarded=True)

    def test_new_call_begins_there(self, town):
        """A new call begins on a pod that owns three sessions less, and is found there again."""
        assert town.travel("a", chunk(), THIRD).body == b"1"
        assert THIRD in town.pods["b"].sessions
        assert town.travel("a", chunk(1, 2000), THIRD).body == b"2"
        assert town.hops == [("a", "b")] * 2

    def test_next_begins_here(self, town):
        """The pod that took one counts as fuller at once: the next stays."""
        town.travel("a", chunk(), THIRD)
        assert isinstance(town.travel("a", chunk(), FOURTH), Reply)

    def test_both_channels_at_once(self, town):
        """Of two that come at the same moment the second sees that the first stays."""
        town.settle("a", loads={"a": 3, "b": 1})
        sessions, later = town.pods["a"].sessions, [FOURTH]
        take = sessions.take

        def interrupted(key, *args, **named):
            if later:
                town.travel("a", chunk(), later.pop())
            return take(key, *args, **named)

        sessions.take = interrupted
        town.travel("a", chunk(), THIRD)
        assert THIRD in sessions
        assert FOURTH in town.pods["b"].sessions

    def test_released_session_moves_there(self, town):
        """A session whose owner gave it up is adopted by the emptier pod, once."""
        town.settle("c")
        town.travel("c", chunk(), THIRD)
        town.pods["c"].store.release(THIRD, 1)
        assert town.travel("a", chunk(1, 2000), THIRD).body == b"2"
        assert THIRD in town.pods["b"].sessions
        assert town.pods["b"].store.peek(THIRD).epoch == 2

    def test_owned_session_stays(self, town):
        """A session that a living pod owns goes to its owner, however full that is."""
        town.settle("c")
        town.travel("c", chunk(), THIRD)
        assert town.travel("a", chunk(1, 2000), THIRD).body == b"2"
        assert town.hops == [("a", "c")]

    @pytest.mark.parametrize(
        "fault", [OwnerGone, lambda: Answer(421, {}, b""), lambda: Answer(503, {}, b"")]
    )
    def test_else_it_is_taken_here(self, town, fault):
        """Where the emptier pod just died, is full by now, or does not take it, it begins here."""
        town.faults["b"] = fault
        assert isinstance(town.travel("a", chunk(), THIRD), Reply)


class TestFull:
    """Calls that have no room where they arrive."""

    def test_emptiest_takes_it(self, town):
        """A new call at a full pod begins on the emptiest other one."""
        town.settle("full", capacity=1, loads={"full": 1, "b": 0})
        town.settle("b")
        town.travel("full", STEPS[0])
        assert town.travel("full", chunk(), CUSTOMER).body == b"1"
        assert CUSTOMER in town.pods["b"].sessions

    def test_larger_takes_it(self, town):
        """A new call at a full pod begins on one that owns more, if that has room."""
        town.settle("full", capacity=1, loads={"full": 1, "b": 5})
        town.settle("b")
        town.travel("full", STEPS[0])
        assert town.travel("full", chunk(), CUSTOMER).body == b"1"

    def test_nobody_has_room(self, town):
        """Where every pod is full a new call is refused with 503, and counted."""
        full = town.settle("full", capacity=0, loads={"full": 0, "b": 60})
        with pytest.raises(Overloaded) as caught:
            town.travel("full", STEPS[0])
        assert caught.value.retry_after_s == 5
        assert full.metrics.refused._value.get() == 1
        assert full.store.peek(AGENT) is None

    def test_many_at_once(self, town):
        """Of new calls that come in the same moment no more begin than there is room for."""
        full = town.settle("full", capacity=2)
        claim = full.store.claim

        def slow(*which, **fields):
            time.sleep(0.2)
            return claim(*which, **fields)

        full.store.claim = slow
        with ThreadPoolExecutor(6) as pool:
            keys = [ChannelKey.of("default", f"c{number}", "agent") for number in range(6)]
            came = [pool.submit(town.travel, "full", chunk(), key) for key in keys]
        refused = [each for each in came if isinstance(each.exception(), Overloaded)]
        assert (len(full.sessions), len(refused)) == (2, 4)
        assert town.roads["full"]._coming == set()

    def test_forwarded_new_call(self, town):
        """A full pod does not pass on what was passed to it."""
        town.settle("full", capacity=0, loads={"full": 5, "b": 0})
        with pytest.raises(Overloaded):
            town.travel("full", STEPS[0], forwarded=True)
        assert town.hops == []

    def test_emptiest_just_died(self, town):
        """A new call whose chosen pod just died is refused with 503: nothing was lost yet."""
        town.settle("full", capacity=1, loads={"full": 1, "dead": 0})
        town.travel("full", STEPS[0])
        town.faults["dead"] = OwnerGone()
        with pytest.raises(Overloaded):
            town.travel("full", chunk(), CUSTOMER)

    def test_full_store_takes_no_call(self, town):
        """On a full store no new call begins, but those that go on go on."""
        town.settle("a", loads={"a": 0, "b": 0})
        town.travel("a", STEPS[0])
        town.placings["a"].refresh([], Pressure(0.9, 0))
        with pytest.raises(Overloaded):
            town.travel("a", chunk(), CUSTOMER)
        assert town.travel("a", STEPS[1]).next_seq == 2


class TestGivenUp:
    """Sessions that this pod gave up."""

    @pytest.fixture(name="rest")
    def _rest(self, town):
        town.settle("a", loads={"a": 0, "b": 0})
        steps = iter(STEPS)
        town.travel("a", next(steps))
        town.travel("a", chunk(), CUSTOMER)
        town.pods["a"].sessions.ask_for_release(1)
        while not town.pods["a"].sessions.has_given_up(AGENT):
            town.travel("a", next(steps))
        return steps

    def test_another_takes_it(self, town, rest):
        """The next step goes to the emptiest pod, which adopts without a death."""
        town.settle("b")
        step = next(rest)
        assert town.travel("a", step).status == 200
        assert AGENT in town.pods["b"].sessions
        assert town.pods["b"].store.peek(AGENT).attempts == 0
        assert town.travel("a", next(rest)).status == 200
        assert town.hops == [("a", "b")] * 2

    def test_forwarder_is_told(self, town, rest):
        """A pod that still forwards here is told, and adopts itself."""
        town.settle("b", loads={"a": 2, "b": 0})
        town.placings["b"].remember(AGENT, Owner("a", 1, "http://a"))
        assert isinstance(town.travel("b", next(rest)), Reply)

    def test_nobody_takes_it(self, town, rest):
        """Where no other pod is left it is taken back, and kept."""
        town.faults["b"] = OwnerGone()
        assert isinstance(town.travel("a", next(rest)), Reply)
        assert isinstance(town.travel("a", next(rest)), Reply)
        assert town.hops == [("a", "b")]

    def test_emptiest_is_not_reached_yet(self, town, rest):
        """Where the emptiest pod was never reached it is taken back as well."""
        town.faults["b"] = OwnerGone(is_certain=False)
        assert isinstance(town.travel("a", next(rest)), Reply)

    def test_both_gave_it_up(self, town, rest):
        """A pod told that the other gave the session up as well takes the next step itself."""
        town.settle("b").sessions._given_up.add(AGENT)
        step = next(rest)
        with pytest.raises(SessionMoved):
            town.travel("a", step)
        assert isinstance(town.travel("a", step), Reply)

    def test_suggested_owner_died(self, town, rest):
        """The emptiest pod may have adopted it and died: then it is taken back at once."""
        other = town.settle("b")
        town.travel("a", next(rest))
        assert AGENT in other.sessions
        town.faults["b"] = OwnerGone()
        town.placings["a"].forget(AGENT)
        assert isinstance(town.travel("a", next(rest)), Reply)
