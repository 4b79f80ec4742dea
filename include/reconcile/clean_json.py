"""What is surely one flat JSON object of a contract's types, and its fields, in Spark SQL.

One object without brackets, without a repeated key, of the contract's JSON types. No escape stands
for a character of a name, and no escaped quote begins what looks like a name; so a quoted name
followed by a colon is a key, and one that is nowhere in the text is no key, which is what makes the
tests of types on the text sound.
"""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from include.contracts import Contract, FieldRule

# The parser does not look past the object, so what may follow it is JSON's own blanks and nothing else.
FLAT_OBJECT = r"^[ \t\r\n]*+\{[^{}\[\]]*+\}[ \t\r\n]*+\z"
BACKSLASH = "\\"
DOUBTFUL_ESCAPE = r'\\(?![nrtbf/"])|\\"[a-z0-9_]*":'
INTEGER = r"^-?(0|[1-9][0-9]{0,16})[ \t\r\n,}]"
LONGEST_INTEGER = 24
VARIANT_TYPES = {"string": "string", "number": "double", "integer": "long"}


def with_json_fields(records: DataFrame, contract: Contract) -> DataFrame:
    """Add `readable` (never null), `clean_<field>` and, for optional numbers, `absent_<field>` to (text, ...).

    An absent text is '' and an absent number null; the fields mean something only where `readable`.
    """
    parsed = records
    for name, rule in contract.fields.items():
        if not rule.required:
            parsed = parsed.withColumn(f"absent_{name}", _is_absent(name))
    typed = reduce(Column.__and__, (_is_typed(name, rule) for name, rule in contract.fields.items()))
    escapes = F.contains("text", F.lit(BACKSLASH)) & F.col("text").rlike(DOUBTFUL_ESCAPE)
    flat = F.coalesce(F.col("text").rlike(FLAT_OBJECT) & ~escapes, F.lit(False))
    parsed = parsed.withColumn("readable", flat).withColumn("readable", F.col("readable") & typed)
    parsed = parsed.withColumn("object", F.when(F.col("readable"), F.try_parse_json("text")))
    fields = {f"clean_{name}": _field(name, rule) for name, rule in contract.fields.items()}
    return parsed.withColumns({**fields, "readable": F.col("object").isNotNull()}).drop("object")


def _field(name: str, rule: FieldRule) -> Column:
    found = F.try_variant_get("object", f"$.{name}", VARIANT_TYPES[rule.type])
    return found if rule.required or rule.is_number else F.coalesce(found, F.lit(""))


def _value(name: str) -> Column:
    """Return what follows a field's name and colon, or else the whole text, which begins with no value.

    A byte search instead of a regular expression: that took 50 times as long. A blank before a colon or a line
    break after it fails the tests below, which only costs time.
    """
    return F.ltrim(F.substring_index("text", f'"{name}":', -1))


def _is_absent(name: str) -> Column:
    return (F.substring(_value(name), 1, 1) == "n") | ~F.contains("text", F.lit(f'"{name}"'))


def _is_typed(name: str, rule: FieldRule) -> Column:
    """Return whether the value of a field begins as its JSON type does, or is absent and may be."""
    if rule.type == "integer":
        typed = F.substring(_value(name), 1, LONGEST_INTEGER).rlike(INTEGER)
    else:
        begins = ['"'] if rule.type == "string" else list("-0123456789")
        typed = F.substring(_value(name), 1, 1).isin(*begins)
    return typed if rule.required else typed | F.col(f"absent_{name}")
