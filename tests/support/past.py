"""What version 0.1.0 wrote of one call on the board: recorded, never to be changed."""

from __future__ import annotations

CALL_HASH = {
    "gap:customer:64000": (
        '[{"key":{"tenant":"default","call":"call-1","channel":"customer"},'
        '"started_at_ms":1700000000000,"first_sample":64000,"start_ms":4000,"end_ms":5000,'
        '"reason":"lost"}]'
    ),
    "score:customer:0": (
        '[{"key":{"tenant":"default","call":"call-1","channel":"customer"},'
        '"started_at_ms":1700000000000,"index":0,"first_sample":0,"start_ms":0,"end_ms":2000,'
        '"text":"my lawyer","polarity":-0.5,"subjectivity":0.5,"nouns":["bill"],'
        '"consumer":"sentiment","scorer":"1","scorer_version":1,"digest":""}]'
    ),
    "fold": (
        '{"terms":"1 6af986b87da52085 ","settled":{"quiet":[{"agent":0,"customer":0},0,null,[]],'
        '"utterances":0,"gaps":0,"talk_ms":{},"customer":[],"agent":[],"recent":{},"found":{}},'
        '"settled_to":null,"tail":[[0,2000,"customer",0,0,-0.5,{"negative-streak":"negative",'
        '"keyword-legal":"spoke of a lawyer"}],[4000,5000,"customer",64000]],"heard":["customer"],'
        '"began_at_ms":1700000000000,"last":[0,2000,"customer",0,-0.5,"my lawyer",["bill"],'
        '"sentiment"]}'
    ),
    "end": (
        '[{"tenant":"default","call":"call-1","started_at_ms":1700000000000,'
        '"ended_at_ms":1700000009000,"reason":"hangup","chunks":36,"utterances":2,"gaps":1}]'
    ),
    "alert:keyword-legal": (
        '1796104798883|{"tenant":"default","call":"call-1","rule":"keyword-legal",'
        '"severity":"critical","reason":"spoke of a lawyer","at_ms":2000,'
        '"started_at_ms":1700000000000,"evidence":[{"channel":"customer","first_sample":0}]}'
    ),
    "start": (
        '[{"tenant":"default","call":"call-1","line":"line-7","started_at_ms":1700000000000,'
        '"agent":"Ana","queue":"billing","direction":"inbound"}]'
    ),
    "shown": "",
    "version": "4",
}
ROW = (
    '{"tenant":"default","call":"call-1","line":"line-7","agent":"Ana","queue":"billing",'
    '"started_at_ms":1700000000000,"ended_at_ms":1700000009000,"help_score":80.0,'
    '"why":"spoke of a lawyer","polarity":-0.5,"customer_trend":[-0.5],"agent_trend":[],'
    '"last_text":"my lawyer","last_channel":"customer","last_end_ms":2000,"nouns":["bill"],'
    '"consumer":"sentiment","talk_ms":{"agent":0,"customer":2000},"longest_silence_ms":0,'
    '"utterances":1,"gaps":1,"rules":["keyword-legal"]}'
)
