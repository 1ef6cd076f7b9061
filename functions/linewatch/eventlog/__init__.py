"""The event log: Redis streams on one machine, Kafka elsewhere, behind one protocol."""
