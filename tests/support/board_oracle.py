"""The board's row and alerts by the book: worked out from the whole set, with nothing kept.

What `linewatch.board.fold` adds up turn by turn is held to this. Silence is the overlap of what
each channel was quiet in, a rule looks through all utterances.
"""

from __future__ import annotations

import re
from itertools import pairwise

from linewatch.board import rules, summary
from linewatch.board.facts import CallFacts
from linewatch.board.rows import CallRow
from linewatch.board.rules import Keywords, LongSilence, NegativeStreak
from linewatch.board.scores import ANYBODY
from linewatch.calls import Alert, Channel, Evidence


def board_of(told, shown=ANYBODY, alert_rules=None):
    """Return the row of the call that *told* are facts of, and the alerts that hold."""
    facts = CallFacts.of(told, shown)
    alerts = raised(facts, rules.default_rules() if alert_rules is None else alert_rules)
    return row_of(facts, alerts), alerts


def started_at_ms(facts):
    """Return when the call began: as announced, else the earliest that is told."""
    if facts.start:
        return facts.start.started_at_ms
    told = [each.started_at_ms for each in (*facts.heard, *facts.ends)]
    return min(told or [each.at_ms for each in facts.updates])


def said_of(facts, field):
    """Return everything that was said of *field*, the last first."""
    words = {(each.at_ms, getattr(each, field)) for each in facts.updates}
    if facts.start and (field != "line" or facts.start.line != facts.call):
        words.add((facts.start.started_at_ms, getattr(facts.start, field)))
    return [text for _, text in sorted(words, reverse=True) if text]


def is_complete(facts):
    """Tell whether the call ended and all that was counted then is known."""
    counted = facts.end and (facts.end.utterances, facts.end.gaps)
    return bool(counted) and len(facts.scores) >= counted[0] and len(facts.gaps) >= counted[1]


def channels(facts):
    """Return the channels the call has."""
    heard = {each.key.channel for each in (*facts.scores, *facts.gaps)}
    return heard if Channel.MIXED in heard else heard | {Channel.AGENT, Channel.CUSTOMER}


def silences(facts):
    """Return (start, end) of every stretch in which nobody spoke for certain."""
    quiet = None
    for channel in sorted(channels(facts)):
        own = _quiet(facts, channel)
        quiet = own if quiet is None else _overlaps(quiet, own)
    return quiet


def _quiet(facts, channel):
    """One channel's quiet stretches, holes cut out."""
    said = [each for each in facts.scores if each.key.channel == channel]
    complete, found, heard_to_ms = is_complete(facts), [], 0
    for before, after in pairwise([None, *said]):
        if complete or after.index == (before.index + 1 if before else 0):
            found.append((heard_to_ms, after.start_ms))
        heard_to_ms = max(heard_to_ms, after.end_ms)
    if complete:
        found.append((heard_to_ms, _length_ms(facts)))
    for gap in facts.gaps:
        if gap.key.channel == channel:
            parts = [
                part
                for start, end in found
                for part in ((start, min(end, gap.start_ms)), (max(start, gap.end_ms), end))
            ]
            found = [(start, end) for start, end in parts if end > start]
    return [(start, end) for start, end in found if end > start]


def _length_ms(facts):
    """How long the call was; nothing begins after its end, whatever the end says."""
    begins = [each.start_ms for each in (*facts.scores, *facts.gaps)]
    return max([facts.end.ended_at_ms - started_at_ms(facts), 0, *begins])


def _overlaps(ours, theirs):
    both = [(max(a[0], b[0]), min(a[1], b[1])) for a in ours for b in theirs]
    return sorted((start, end) for start, end in both if end > start)


def raised(facts, alert_rules):
    """Return the alerts that hold, worst first."""
    found = []
    for rule in alert_rules:
        finding = _FINDERS[type(rule)](rule, facts)
        if finding:
            reason, at_ms, said = finding
            evidence = tuple(Evidence(each.key.channel, each.first_sample) for each in said)
            known = (facts.tenant, facts.call, rule.name, rule.severity, reason, at_ms)
            found.append(Alert(*known, started_at_ms(facts), evidence))
    return tuple(sorted(found, key=lambda alert: (-rules.WEIGHTS[alert.severity], alert.at_ms)))


def _streak(rule, facts):
    said = [each for each in facts.scores if each.key.channel.has_customer]
    negative = [each for each in said if each.polarity <= rule.polarity]
    for last in range(rule.count - 1, len(negative)):
        turns = negative[last - rule.count + 1 : last + 1]
        span = turns[-1].index - turns[0].index + 1
        if rule.count <= span <= rule.window:
            of = "in a row" if span == rule.count else ""
            words = (
                f"{rule.count} angry turns {of}" if of else f"{rule.count} of {span} turns angry"
            )
            return words, turns[-1].end_ms, turns
    return None


def _keywords(rule, facts):
    for said in facts.scores:
        spoken = f" {' '.join(re.findall(r'[a-z0-9' + chr(39) + ']+', said.text.lower()))} "
        for phrase, reason in rule.phrases.items():
            if said.key.channel.has_customer and f" {phrase} " in spoken:
                return reason, said.end_ms, [said]
    return None


def _long_silence(rule, facts):
    for start_ms, end_ms in silences(facts):
        if end_ms - start_ms >= rule.least_s * 1000:
            before = [each for each in facts.scores if each.end_ms <= start_ms]
            words = f"nobody spoke for {(end_ms - start_ms) // 1000} s"
            return words, start_ms + rule.least_s * 1000, before[-1:]
    return None


_FINDERS = {NegativeStreak: _streak, Keywords: _keywords, LongSilence: _long_silence}


def row_of(facts, alerts):
    """Return the call's row."""
    agents = said_of(facts, "agent")
    last = max(facts.scores, key=lambda each: (each.end_ms, each.key.channel), default=None)
    mood = [each.polarity for each in facts.scores if each.key.channel.has_customer]
    agent = [each.polarity for each in facts.scores if not each.key.channel.has_customer]
    return CallRow(
        tenant=facts.tenant,
        call=facts.call,
        line=[*said_of(facts, "line"), facts.call][0],
        agent=[*agents, ""][0],
        queue=[*said_of(facts, "queue"), ""][0],
        started_at_ms=started_at_ms(facts),
        ended_at_ms=facts.end.ended_at_ms if facts.end else None,
        help_score=summary.help_score(mood, alerts, last.end_ms if last else 0),
        why=summary.reason(mood, alerts),
        polarity=last.polarity if last else None,
        customer_trend=tuple(mood[-15:]),
        agent_trend=tuple(agent[-15:]),
        last_text=last.text[:400] if last else "",
        last_channel=last.key.channel if last else None,
        last_end_ms=last.end_ms if last else 0,
        nouns=last.nouns[:12] if last else (),
        consumer=last.consumer if last else "",
        talk_ms={each: _talk_ms(facts, each) for each in sorted(channels(facts))},
        longest_silence_ms=max((end - start for start, end in silences(facts)), default=0),
        utterances=len(facts.scores),
        gaps=len(holes(facts)),
        rules=tuple(alert.rule for alert in alerts),
        agents_before=tuple(name for name in dict.fromkeys(agents) if name != agents[0]),
        clock_off_ms=facts.start.clock_off_ms if facts.start else 0,
    )


def holes(facts):
    """Return (channel, reason, start, end) of what was not heard; what touches is one."""
    found = []
    for gap in sorted(facts.gaps, key=lambda each: (each.key.channel, each.reason, each.start_ms)):
        channel, reason, start_ms, end_ms = found[-1] if found else ("", "", 0, 0)
        if (channel, reason) == (gap.key.channel, gap.reason) and gap.start_ms <= end_ms:
            found[-1] = channel, reason, start_ms, max(end_ms, gap.end_ms)
        else:
            found.append((gap.key.channel, gap.reason, gap.start_ms, gap.end_ms))
    return found


def _talk_ms(facts, channel):
    return sum(each.end_ms - each.start_ms for each in facts.scores if each.key.channel == channel)
