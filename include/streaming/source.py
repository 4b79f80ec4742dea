"""Kafka as Spark's source has it: the options of a stream, and the offsets that it planned for a batch."""

from __future__ import annotations

import json
from pathlib import Path

from include.contracts import Contract
from include.settings import Settings
from include.topics.offsets import FETCH_OPTIONS

# Set for each query start. A long run must not gather what nobody reads, and a query that cannot be
# stopped must not hold up the end of a fenced driver.
QUERY_CONF = {
    "spark.sql.streaming.numRecentProgressUpdates": "5",
    "spark.sql.streaming.minBatchesToRetain": "10",
    "spark.sql.streaming.stopTimeout": "10s",
    # A checkpoint is scratch that no other query start reads: without checksums it is a file a log entry, not four,
    # and Hadoop starts a process (chmod) for every file that it creates.
    "spark.sql.streaming.checkpoint.fileChecksum.enabled": "false",
    "fs.AbstractFileSystem.file.impl": "org.apache.hadoop.fs.local.RawLocalFs",
}


class BatchOffsetsError(RuntimeError):
    """Spark's offset log of a batch does not hold what was expected."""


def source_options(
    settings: Settings, contract: Contract, start: dict[int, int], max_offsets: int
) -> dict[str, str]:
    """Return the options of Spark's Kafka source for a stream that begins at these offsets.

    Loss is not left to Spark to fail on: the driver states in the ledger what had expired unread.
    """
    return {
        "kafka.bootstrap.servers": settings.kafka_bootstrap_servers,
        "subscribe": contract.topic.name,
        "startingOffsets": json.dumps({contract.topic.name: {str(p): offset for p, offset in start.items()}}),
        "maxOffsetsPerTrigger": str(max_offsets),
        "kafka.isolation.level": "read_committed",
        "failOnDataLoss": "false",
        **FETCH_OPTIONS,
    }


def batch_ends(checkpoint: Path, spark_batch: int, topic: str) -> dict[int, int]:
    """Return the end offset of each partition that Spark planned for a batch, from its offset log.

    Raises:
        BatchOffsetsError: the log holds no offsets of the topic.
    """
    path = checkpoint / "offsets" / str(spark_batch)
    for line in reversed(path.read_text(encoding="utf-8").splitlines()):
        if line.startswith("{"):
            offsets = json.loads(line)
            if topic in offsets:
                return {int(partition): int(offset) for partition, offset in offsets[topic].items()}
    raise BatchOffsetsError(f"{path} holds no offsets of {topic}")
