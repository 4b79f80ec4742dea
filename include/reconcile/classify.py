"""Every record of the raw log as event or reject: the clean test first, the classifier for the rest.

One pass: clean rows are sent to the Python worker as nulls, so that only what is not provably
clean costs a record-by-record judgement.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import LongType, StringType, StructField, StructType

from include.contracts import Contract
from include.contracts.classifier import Classifier, Reject
from include.reconcile.clean import with_clean_fields


def classified(records: DataFrame, contract: Contract) -> DataFrame:
    """Turn (value, kafka_us, ...) into (..., clean, reason, time_us, field_<name>, ...).

    kafka_us is the Kafka timestamp in epoch microseconds. `clean` says which way a record went; reason is
    null for an event, time_us and the fields are null for a reject. Of an event an absent text is '', an absent
    number null.
    """
    tested = with_clean_fields(records, contract)
    dirty = ~F.col("clean")
    judged = tested.withColumn(
        "judged",
        _classifier_column(contract)(dirty, F.when(dirty, F.col("value")), F.when(dirty, F.col("kafka_us"))),
    )

    def either(tested_name: str, judged_name: str) -> Column:
        return F.when(F.col("clean"), F.col(tested_name)).otherwise(F.col(f"judged.{judged_name}"))

    return judged.select(
        *records.drop("value").columns,
        "clean",
        F.col("judged.reason").alias("reason"),
        either("time_us", "time_us").alias("time_us"),
        *(either(f"clean_{name}", f"field_{name}").alias(f"field_{name}") for name in contract.fields),
    )


def _classifier_column(contract: Contract) -> Any:
    numbers = {
        "time_us": True,
        **{f"field_{name}": rule.is_number for name, rule in contract.fields.items()},
    }
    result = StructType(
        [
            StructField("reason", StringType()),
            *(StructField(name, LongType() if number else StringType()) for name, number in numbers.items()),
        ]
    )
    arrow = pa.struct(
        [
            ("reason", pa.string()),
            *((name, pa.int64() if number else pa.string()) for name, number in numbers.items()),
        ]
    )

    @F.arrow_udf(result)  # type: ignore[untyped-decorator, unused-ignore]
    def judge(dirty: pa.Array, value: pa.Array, kafka_us: pa.Array) -> pa.Array:
        if not pc.any(dirty).as_py():
            return pa.nulls(len(dirty), arrow)
        classifier = Classifier(contract)
        rows: list[dict[str, Any] | None] = [None] * len(dirty)
        for index in pc.indices_nonzero(dirty).to_pylist():
            outcome = classifier.classify(value[index].as_py(), kafka_us[index].as_py() // 1000)
            if isinstance(outcome, Reject):
                rows[index] = {"reason": outcome.reason}
            else:
                rows[index] = {
                    "time_us": outcome.time_us,
                    **{f"field_{name}": item for name, item in outcome.values.items()},
                }
        return pa.array(rows, arrow)

    return judge
