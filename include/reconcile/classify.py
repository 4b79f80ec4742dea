"""Every record of the raw log as event or reject: the clean test first, the classifier for the rest.

One pass: clean rows are sent to the Python worker as nulls, so that only what is not provably
clean costs a record-by-record judgement.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import LongType, StringType, StructField, StructType

from include.contracts import Contract
from include.contracts.classifier import Classifier, Reject
from include.reconcile.clean import with_clean_fields


def classified(records: DataFrame, contract: Contract) -> DataFrame:
    """Turn (value, kafka_us, ...) into (..., reason, time_us, <each field>); reason is null for an event.

    kafka_us is the Kafka timestamp in epoch microseconds. `clean` says which way a record went.
    """
    tested = with_clean_fields(records, contract)
    dirty = ~F.col("clean")
    judged = tested.withColumn(
        "judged",
        _classifier_column(contract)(dirty, F.when(dirty, F.col("value")), F.when(dirty, F.col("kafka_us"))),
    )
    names = ["time_us", *contract.fields]
    return judged.select(
        *records.drop("value").columns,
        "clean",
        F.col("judged.reason").alias("reason"),
        *(
            F.coalesce(F.when(F.col("clean"), F.col(f"clean_{n}")), F.col(f"judged.f_{n}")).alias(n)
            for n in names
        ),
    )


def _classifier_column(contract: Contract) -> Any:
    names = ["time_us", *contract.fields]
    numbers = {"time_us", *(name for name, rule in contract.fields.items() if rule.scale is not None)}
    result = StructType(
        [
            StructField("reason", StringType()),
            *(StructField(f"f_{n}", LongType() if n in numbers else StringType()) for n in names),
        ]
    )
    arrow = pa.struct(
        [("reason", pa.string()), *((f"f_{n}", pa.int64() if n in numbers else pa.string()) for n in names)]
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
                    "f_time_us": outcome.time_us,
                    **{f"f_{name}": item for name, item in outcome.values.items()},
                }
        return pa.array(rows, arrow)

    return judge
