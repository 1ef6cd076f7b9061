"""What lies in Kafka's topics, read past the consumer groups; and records put there."""

from __future__ import annotations

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

#: Where the source of the sentiment function leaves what it could not deliver.
DEAD = "dead-sentiment"


def _fields(record):
    headers = {name.encode(): value for name, value in record.headers}
    own = {b"topic": record.topic.encode(), b"key": record.key or b"", b"value": record.value}
    return {**own, **headers}


class Topics:
    """Reads the records that were written since it was made."""

    def __init__(self, bootstrap):
        self._bootstrap = bootstrap
        self._from = {}

    def _consumer(self):
        return KafkaConsumer(
            bootstrap_servers=self._bootstrap, group_id=None, enable_auto_commit=False
        )

    def mark(self, *topics):
        """Leave out what *topics* hold already."""
        consumer = self._consumer()
        try:
            for topic in topics:
                self._from.update(consumer.end_offsets(partitions(consumer, topic)))
        finally:
            consumer.close()

    def records(self, topic):
        """Return every record of *topic* since `mark`."""
        consumer = self._consumer()
        try:
            places = partitions(consumer, topic)
            ends = consumer.end_offsets(places)
            consumer.assign(places)
            for place in places:
                consumer.seek(place, self._from.get(place, 0))
            found = []
            while any(consumer.position(place) < ends[place] for place in places):
                for records in consumer.poll(timeout_ms=500).values():
                    found += records
            return found
        finally:
            consumer.close()

    def published(self, topic, calls):
        """Return the records of *calls*: (source, id) -> all copies, as the local log has them."""
        found = {}
        for record in self.records(topic):
            fields = _fields(record)
            if fields[b"key"].decode() in calls:
                name = (fields.get(b"ce_source"), fields.get(b"ce_id"))
                found.setdefault(name, []).append(tuple(sorted(fields.items())))
        return found

    def put(self, topic, key, value, headers):
        """Write one record and wait for the acknowledgement."""
        producer = KafkaProducer(bootstrap_servers=self._bootstrap)
        try:
            sent = producer.send(topic, value, key, list(headers.items()))
            sent.get(timeout=30)
        finally:
            producer.close()


def partitions(consumer, topic):
    """Return every place of *topic*; none where it is not there."""
    return [TopicPartition(topic, each) for each in consumer.partitions_for_topic(topic) or ()]
