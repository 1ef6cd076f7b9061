"""Audio that kills its decoder, skipped by the third that adopts it."""

import threading

import pytest
import redis

from linewatch import keys
from linewatch.calls import ChannelKey
from linewatch.decoder.store import packed_steps as packing
from linewatch.errors import SessionMoved
from tests.linewatch.decoder.pods import (
    AGENT,
    CUSTOMER,
    STEPS,
    Caller,
    Killed,
    Pod,
    conversation,
    outbox,
    told,
    undisturbed,
)
from tests.support import fakes


class Cursed(fakes.HashRecognizer):
    """Ends its process on poison, as a SIGSEGV does, but only in this test's eyes."""

    def accept(self, samples):
        """See `Recognizer`."""
        if fakes.is_poison(samples):
            raise Killed
        return super().accept(samples)


def cursed():
    """Return recognizers that die of poison."""
    made = fakes.HashRecognizers()
    made.fresh = Cursed
    return made


class TestPoison:
    """Audio that kills its decoder."""

    @pytest.fixture(name="story")
    def _story(self, redis_url):
        return PoisonStory(redis_url)

    def test_third_adopter_skips(self, story, redis_url):
        """A tail that killed its owner and two adopters is skipped by the third and told as gap."""
        poisoned = story.poison(AGENT)
        assert story.deaths == 3
        gaps = [dict(row) for row in outbox(redis_url) if b"call.gap" in dict(row)[b"ce_type"]]
        assert [b'"reason": "undecodable"' in gap[b"value"] for gap in gaps] == [True]
        assert story.pod.metrics.undecodable._value.get() == 1
        assert poisoned.next_seq == 9

    def test_goes_on_after_poison(self, story, redis_url):
        """After the skip the channel goes on: what is said later is heard and told."""
        story.poison(AGENT)
        rest = fakes.chunks(conversation(), seq=9, position=18_400)
        for step in rest:
            story.take(AGENT, step, -1)
        assert len(told(redis_url, "utterance")) > 1

    def test_others_are_never_skipped(self, story, redis_url):
        """Other calls on the pods that die lose nothing: their outbox is byte-equal."""
        other = ChannelKey.of("default", "c1", "customer")
        bystander = Caller(other, STEPS, story.take)
        for _ in range(12):
            bystander.send()
        story.poison(AGENT, bystander)
        bystander.run()
        told_of = [
            row for row in outbox(redis_url) if other.source.encode() in dict(row)[b"ce_source"]
        ]
        with redis.Redis.from_url(redis_url) as client:
            client.flushall()
        wanted = undisturbed(redis_url, (other, STEPS))
        assert told_of == [
            row for row in wanted if other.source.encode() in dict(row)[b"ce_source"]
        ]

    @pytest.mark.parametrize("kept", [0, 4])
    def test_audio_kept_if_allowed(self, redis_url, kept):
        """The audio that killed is kept only where the settings allow it."""
        PoisonStory(redis_url, kept).poison(AGENT)
        with redis.Redis.from_url(redis_url) as client:
            found = client.lrange(keys.undecodable("default"), 0, -1)
        assert len(found) == kept
        assert all(packing.unpack(each).stream == "s1" for each in found)

    def test_suspects_go_one_by_one(self, story, redis_url):
        """Two suspect tails are never replayed at the same time on one pod."""
        for key in (AGENT, CUSTOMER):
            story.take(key, STEPS[0], -1)
        for name in ("pod-x", "pod-y"):
            story.pod.killed()
            story.pod = Pod(redis_url, name)
            for key in (AGENT, CUSTOMER):
                story.pod.store.claim(key, suspect=True)  # adopted, and died before the replay
        story.pod.killed()
        last = Pod(redis_url, "pod-z")
        running, most, restore = [], [], last.decoding.restore

        def watched(key, stored, tail):
            running.append(key)
            most.append(len(running))
            threading.Event().wait(0.05)
            live = restore(key, stored, tail)
            running.remove(key)
            return live

        last.decoding.restore = watched
        last.decoding.skip = watched
        threads = [
            threading.Thread(target=last.take, args=(key, STEPS[1])) for key in (AGENT, CUSTOMER)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert most == [1, 1]
        assert last.store.peek(AGENT).next_seq == last.store.peek(CUSTOMER).next_seq == 2


class PoisonStory:
    """Pods that die of poisoned audio one after the other; *pod* is the living one."""

    def __init__(self, redis_url, kept=0):
        self.deaths = 0
        self._redis_url = redis_url
        self._kept = kept
        self.pod = self._new()

    def _new(self):
        return Pod(self._redis_url, f"pod-{self.deaths}", recognizers=cursed(), kept=self._kept)

    def take(self, key, step, after):
        """Take a step, or die and let the next pod begin."""
        try:
            return self.pod.take(key, step, after)
        except Killed:
            self.deaths += 1
            self.pod.killed()
            self.pod = self._new()
            raise SessionMoved("the phone lost its connection") from None

    def poison(self, key, bystander=None):
        """Send poison until it is acknowledged; the *bystander* sends in between."""
        caller = Caller(key, fakes.chunks(fakes.poison()), self.take)
        while not caller.done:
            caller.send()
            if bystander and not bystander.done:
                bystander.send()
        return self.pod.store.peek(key)
