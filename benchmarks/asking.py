"""Which of the obvious queries Spark takes: each is started for real, on a few records, in update mode.

A query that Spark refuses as written is asked again with an approximate count of distinct values, which is what
Spark's refusal recommends. Owns: the obvious reading of the records, the queries' texts, and Spark's answers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.view_counts import View
from benchmarks.workload import SQL
from include.contracts import Contract

USER_SCHEMA = (
    "timestamp BIGINT, user_id STRING, action STRING, value DOUBLE, session_id STRING, ip_address STRING"
)
LOG_SCHEMA = (
    "timestamp TIMESTAMP, level STRING, service STRING, message STRING, ip_address STRING, user_id STRING, "
    "request_id STRING, response_time DOUBLE, status_code INT, error_code STRING"
)
LINE = r'^(\S+) \S+ (\S+) \[([^\]]+)\] "\S+ /([^/? ]*)\S* [^"]*" (\d{3}) '
LINE_TIME = "dd/MMM/yyyy:HH:mm:ss Z"
EXACT, APPROXIMATE = "count(DISTINCT {})", "approx_count_distinct({})"
MESSAGE_CHARACTERS = 300


@dataclass(frozen=True)
class Refusal:
    """Why Spark does not run a query: its error class and the begin of what it says."""

    condition: str
    message: str


@dataclass(frozen=True)
class Answer:
    """What came of one question: its name and text, and Spark's refusal, none where it ran."""

    question: str
    sql: str
    refusal: Refusal | None


def parsed(contract: Contract, records: DataFrame) -> DataFrame:
    """Return the events of Kafka records as people read them: no rule of the contract is enforced."""
    value = F.col("value").cast("string")
    if contract.stream == "user_events":
        event = records.select(F.from_json(value, USER_SCHEMA).alias("event"), "timestamp")
        return event.select(
            F.timestamp_millis("event.timestamp").alias("event_time"),
            F.col("timestamp").alias("kafka_time"),
            *(F.col(f"event.{name}") for name in ("user_id", "action", "value")),
        )
    is_json = F.col("text").startswith("{")

    def field(name: str, group: int) -> Column:
        found = F.when(~is_json, F.regexp_extract("text", LINE, group))
        return F.coalesce(F.nullif(F.col(f"event.{name}"), F.lit("")), F.nullif(found, F.lit("-")))

    texts = records.select(value.alias("text"), F.col("timestamp").alias("kafka_time"))
    event = texts.select("*", F.when(is_json, F.from_json("text", LOG_SCHEMA)).alias("event"))
    moment = F.try_to_timestamp(F.when(~is_json, F.regexp_extract("text", LINE, 3)), F.lit(LINE_TIME))
    status = F.when(~is_json, F.regexp_extract("text", LINE, 5)).try_cast("int")
    service = field("service", 4)
    return event.select(
        F.coalesce("event.timestamp", moment).alias("event_time"),
        "kafka_time",
        F.when(service == "", "root").otherwise(service).alias("service"),
        field("ip_address", 1).alias("ip_address"),
        field("user_id", 2).alias("user_id"),
        F.coalesce("event.status_code", status).alias("status_code"),
        F.col("event.response_time").alias("response_time"),
    )


def view_text(view: View, distinct: str) -> str:
    """Return the obvious query of a view; `distinct` is EXACT or APPROXIMATE."""
    folder = Environment(loader=FileSystemLoader(SQL / "obvious"), undefined=StrictUndefined)
    return folder.get_template(f"{view.name}.sql.j2").render(distinct=distinct.format)


def other_questions(stream: str) -> dict[str, str]:
    """Return what people also ask of the stream, by name."""
    files = sorted((SQL / "questions" / stream).glob("*.sql"))
    return {file.stem: file.read_text(encoding="utf-8") for file in files}


def query_frame(spark: SparkSession, contract: Contract, records: DataFrame, sql: str) -> DataFrame:
    """Return a query over `events`, with a watermark by event time, and `arrivals`, with one by Kafka time."""
    lateness = f"{contract.lateness_seconds} seconds"
    events = parsed(contract, records)
    events.withWatermark("event_time", lateness).createOrReplaceTempView("events")
    events.withWatermark("kafka_time", lateness).createOrReplaceTempView("arrivals")
    return spark.sql(sql)


def ask(
    spark: SparkSession, contract: Contract, records: DataFrame, question: str, sql: str, scratch: Path
) -> Answer:
    """Start the query in update mode over `records` and await its end."""
    checkpoint = Path(tempfile.mkdtemp(dir=scratch))
    try:
        writer = query_frame(spark, contract, records, sql).writeStream.outputMode("update").format("noop")
        query = writer.option("checkpointLocation", checkpoint.as_uri()).trigger(availableNow=True).start()
        query.awaitTermination()
    except PySparkException as error:
        # After a semicolon Spark writes its plan.
        said = " ".join(str(error).split(";\n")[0].split())[:MESSAGE_CHARACTERS]
        return Answer(question, sql, Refusal(error.getCondition() or type(error).__name__, said))
    return Answer(question, sql, None)


def ask_all(
    spark: SparkSession, contract: Contract, records: DataFrame, views: Sequence[View], scratch: Path
) -> tuple[dict[str, str], list[Answer]]:
    """Ask Spark for every view and for what else people ask.

    Returns:
        The text that runs of each view that Spark can run, and every answer in the order of asking.
    """
    runs: dict[str, str] = {}
    answers: list[Answer] = []
    for view in views:
        texts = {view.name: view_text(view, EXACT), f"{view.name}, approximate": view_text(view, APPROXIMATE)}
        for question, sql in texts.items():
            if sql in {answer.sql for answer in answers}:
                continue
            answers.append(ask(spark, contract, records, question, sql, scratch))
            if answers[-1].refusal is None:
                runs[view.name] = sql
                break
    for question, sql in other_questions(contract.stream).items():
        answers.append(ask(spark, contract, records, question, sql, scratch))
    return runs, answers
