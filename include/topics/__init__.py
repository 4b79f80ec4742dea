"""Kafka topics of the contracts: created, verified, and asked for their offsets."""

from include.topics.ensure import TopicDrift, TopicDriftError, TopicReport, ensure_topics

__all__ = ["TopicDrift", "TopicDriftError", "TopicReport", "ensure_topics"]
