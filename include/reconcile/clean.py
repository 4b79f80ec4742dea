"""The strict clean test, in Spark SQL made from a contract: what it passes is surely acceptable.

It shares nothing with the streaming fold. A value passes only if it is valid UTF-8, one flat
JSON object without escapes or brackets, without a repeated key, of the contract's JSON types, and
within every bound. Without escapes a quoted name followed by a colon is a key, which is what makes
the tests of types on the text sound. What does not pass is judged record by record by the
contract's classifier, so a test that is too strict costs time and nothing else.

Columns made of a contract's fields are called `clean_<field>`, so no field can take the name of
another column.
"""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from include.contracts import Contract

ISO8601 = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})?\z"
)
# The parser does not look past the object, so what may follow it is JSON's own blanks and nothing else.
FLAT_OBJECT = r"^[ \t\r\n]*+\{[^{}\[\]\\]*+\}[ \t\r\n]*+\z"
LONGEST_VALUE = 65_536
END_US = 4_291_747_200_000_000  # 2106-01-01: ClickHouse keeps times from 1970 up to that year


def _typed_alike(contract: Contract) -> list[Column]:
    """Return, for each field, whether the value after its name begins as its JSON type does.

    Byte searches instead of one regular expression: that took 50 times as long. A blank before a
    colon or a line break after it fails the test, which only costs time.
    """
    begins = {"string": ['"'], "number": list("-0123456789")}
    return [
        F.substring(F.ltrim(F.substring_index("text", f'"{name}":', -1)), 1, 1).isin(*begins[rule.type])
        for name, rule in contract.fields.items()
    ]


def with_clean_fields(records: DataFrame, contract: Contract) -> DataFrame:
    """Add `clean` (never null), `time_us` and `clean_<field>` to (value, kafka_us, ...).

    Strings stay text; numbers become integers at their scale. They mean something only where `clean`.
    """
    text = F.col("value").cast("string")
    flat = (
        F.col("value").isNotNull()
        & (F.length("value") <= LONGEST_VALUE)
        & F.is_valid_utf8(text)
        & text.rlike(FLAT_OBJECT)
    )
    parsed = records.withColumn("text", text).withColumn("flat", F.coalesce(flat, F.lit(False)))
    parsed = parsed.withColumn("flat", F.col("flat") & _all(_typed_alike(contract)))
    parsed = parsed.withColumn("object", F.when(F.col("flat"), F.try_parse_json("text")))
    parsed = parsed.withColumns(
        {
            f"clean_{name}": F.try_variant_get(
                "object", f"$.{name}", "string" if rule.type == "string" else "double"
            )
            for name, rule in contract.fields.items()
        }
    )
    moment = F.col(f"clean_{contract.event_time.field}")
    zoned = moment.endswith("Z") | F.substring(moment, -6, 1).isin("+", "-")
    in_utc = F.when(zoned, moment).otherwise(F.concat(moment, F.lit("Z")))
    parsed = parsed.withColumn(
        "time_us", F.when(moment.rlike(ISO8601), F.unix_micros(in_utc.try_cast("timestamp")))
    )
    within = [F.col("object").isNotNull(), *_time_tests(contract), *_field_tests(contract)]
    numbers = {name: rule.scale for name, rule in contract.fields.items() if rule.scale is not None}
    parsed = parsed.withColumn("clean", _all(within)).withColumns(
        {
            f"clean_{name}": F.rint(F.col(f"clean_{name}") * F.lit(float(10**scale))).try_cast("long")
            for name, scale in numbers.items()
        }
    )
    clean = F.coalesce(F.col("clean") & _all(_rule_tests(contract)), F.lit(False))
    return parsed.withColumn("clean", clean).drop("text", "flat", "object")


def _all(tests: list[Column]) -> Column:
    return reduce(lambda one, other: one & other, tests, F.lit(True))


def _time_tests(contract: Contract) -> list[Column]:
    ahead = F.col("time_us") - F.col("kafka_us")
    return [
        (F.col("time_us") >= 0) & (F.col("time_us") < F.lit(END_US)),
        ahead <= F.lit(contract.skew_seconds * 1_000_000),
        -ahead <= F.lit(contract.maximum_age_hours * 3_600_000_000),
    ]


def _field_tests(contract: Contract) -> list[Column]:
    tests = []
    for name, rule in contract.fields.items():
        field = F.col(f"clean_{name}")
        tests.append(field.isNotNull())
        if rule.min_length:
            tests.append(F.length(field) >= rule.min_length)
        if rule.allowed is not None:
            tests.append(field.isin(*rule.allowed))
        if rule.minimum is not None:
            tests.append(field >= F.lit(float(rule.minimum)))
        if rule.maximum is not None:
            tests.append(field <= F.lit(float(rule.maximum)))
    return tests


def _rule_tests(contract: Contract) -> list[Column]:
    tests = []
    for rule in contract.rules:
        applies = _all([F.col(f"clean_{name}") == text for name, text in rule.when.items()])
        figure = F.col(f"clean_{rule.field}")
        tests.append(~applies | (figure == rule.equals if rule.equals is not None else figure > rule.above))
    return tests
