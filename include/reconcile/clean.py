"""The strict clean test, in Spark SQL made from a contract: what it passes is surely acceptable.

It shares nothing with the streaming fold. A value passes only if it is valid UTF-8, one flat JSON
object (clean_json.py) or, where the contract allows them, one plain access-log line
(clean_lines.py), and within every bound. What does not pass is judged record by record by the
contract's classifier, so a test that is too strict costs time and nothing else.

Columns made of a contract's fields are called `clean_<field>`, so no field can take the name of
another column.
"""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from include.contracts import Contract, FieldRule
from include.reconcile.clean_json import with_json_fields
from include.reconcile.clean_lines import with_line_fields

ISO8601 = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})?\z"
)
OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
IPV4 = rf"{OCTET}(?:\.{OCTET}){{3}}"
GROUP = "[0-9A-Fa-f]{1,4}"
# Eight groups, or at most seven around a double colon; the forms that begin or end with one are left out.
SHORT_IPV6 = rf"(?=(?:[^:]*:){{2,7}}[^:]*\z){GROUP}(?::{GROUP})*::{GROUP}(?::{GROUP})*"
IP = rf"^(?:{IPV4}|{GROUP}(?::{GROUP}){{7}}|{SHORT_IPV6})\z"
LONGEST_VALUE = 65_536
END_US = 4_291_747_200_000_000  # 2106-01-01: ClickHouse keeps times from 1970 up to that year


def with_clean_fields(records: DataFrame, contract: Contract) -> DataFrame:
    """Add `clean` (never null), `time_us` and `clean_<field>` to (value, kafka_us, ...).

    Strings stay text, '' where absent; numbers become integers at their scale, null where absent. They mean
    something only where `clean`.
    """
    text = F.col("value").cast("string")
    readable = F.col("value").isNotNull() & (F.length("value") <= LONGEST_VALUE) & F.is_valid_utf8(text)
    parsed = with_json_fields(records.withColumn("text", F.when(readable, text)), contract)
    if contract.line_formats:
        parsed = with_line_fields(parsed, contract)
    parsed = parsed.withColumn("time_us", _time_us(contract))
    within = [F.col("readable"), *_time_tests(contract), *_field_tests(contract)]
    scales = {name: rule.scale for name, rule in contract.fields.items() if rule.type == "number"}
    parsed = parsed.withColumn("clean", all_of(within)).withColumns(
        {
            f"clean_{name}": F.rint(F.col(f"clean_{name}") * F.lit(float(10 ** (scale or 0)))).try_cast(
                "long"
            )
            for name, scale in scales.items()
        }
    )
    clean = F.coalesce(F.col("clean") & all_of(_rule_tests(contract)), F.lit(False))
    return parsed.withColumn("clean", clean).drop("text", "readable")


def all_of(tests: list[Column]) -> Column:
    """Return whether all tests hold."""
    return reduce(lambda one, other: one & other, tests, F.lit(True))


def _time_us(contract: Contract) -> Column:
    """Return the event time in epoch microseconds, null where it is none."""
    moment = F.col(f"clean_{contract.event_time.field}")
    if contract.event_time.encoding == "epoch_ms":
        return F.when((moment >= 0) & (moment < END_US // 1000), moment * 1000)
    zoned = moment.endswith("Z") | F.substring(moment, -6, 1).isin("+", "-")
    in_utc = F.when(zoned, moment).otherwise(F.concat(moment, F.lit("Z")))
    return F.when(moment.rlike(ISO8601), F.unix_micros(in_utc.try_cast("timestamp")))


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
        holds = all_of([field.isNotNull(), *_value_tests(field, rule)])
        if rule.required:
            tests.append(holds)
        else:
            tests.append(holds | (field.isNull() if rule.is_number else field == ""))
    return tests


def _value_tests(field: Column, rule: FieldRule) -> list[Column]:
    tests = []
    if rule.min_length:
        tests.append(F.length(field) >= rule.min_length)
    if rule.allowed is not None:
        tests.append(field.isin(*rule.allowed))
    if rule.format == "ip":
        tests.append(field.rlike(IP))
    if rule.minimum is not None:
        tests.append(field >= F.lit(float(rule.minimum)))
    if rule.maximum is not None:
        tests.append(field <= F.lit(float(rule.maximum)))
    return tests


def _rule_tests(contract: Contract) -> list[Column]:
    tests = []
    for rule in contract.rules:
        applies = all_of([F.col(f"clean_{name}") == text for name, text in rule.when.items()])
        figure = F.col(f"clean_{rule.field}")
        tests.append(~applies | (figure == rule.equals if rule.equals is not None else figure > rule.above))
    return tests
