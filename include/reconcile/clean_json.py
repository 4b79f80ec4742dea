"""What is surely one flat JSON object of a contract's types, and its fields, in Spark SQL.

One regular expression tells the whole object: members without objects and arrays, each known field with its JSON
type, no key that an escape could spell. Producers write fields in some order of their own, so that an object in
the contract's order, with each field once, is what most records are; of every other order or with unknown fields
no key may be there twice. Only then does Spark's own JSON parser take the fields out.

Every repetition is possessive: Java matches those without recursion, however long the text is.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from include.contracts import Contract, FieldRule

BLANK = r"[ \t\r\n]*+"
PLAIN = r'[^"\\\x00-\x1f]*+'
TEXT = rf'"{PLAIN}(?:\\[nrtbf/"\\]{PLAIN})*+"'
INTEGER = r"-?(?:0|[1-9][0-9]{0,16}+)"
NUMBER = INTEGER + r"(?:\.[0-9]{1,40}+)?+(?:[eE][+-]?[0-9]{1,2}+)?+"
OTHER = f"(?:{TEXT}|{NUMBER}|true|false|null)"
END = rf"{BLANK}(?:,{BLANK}(?=\")|(?=\}}))"
LITERALS = {"string": TEXT, "number": NUMBER, "integer": INTEGER}
SPARK_TYPES = {"string": "string", "number": "double", "integer": "long"}


def with_json_fields(records: DataFrame, contract: Contract) -> DataFrame:
    """Add `readable` (never null) and `clean_<field>` to (text, ...).

    An absent text is '' and an absent number null; the fields mean something only where `readable`.
    """
    readable = F.coalesce(_is_readable(F.col("text"), contract), F.lit(False))
    schema = ", ".join(f"`{name}` {SPARK_TYPES[rule.type]}" for name, rule in contract.fields.items())
    parsed = records.withColumn("readable", readable)
    parsed = parsed.withColumn("object", F.from_json(F.when(F.col("readable"), F.col("text")), schema))
    fields = {f"clean_{name}": _field(name, rule) for name, rule in contract.fields.items()}
    return parsed.withColumns(fields).drop("object")


def _field(name: str, rule: FieldRule) -> Column:
    found = F.col(f"object.{name}")
    return found if rule.required or rule.is_number else F.coalesce(found, F.lit(""))


def _is_readable(text: Column, contract: Contract) -> Column:
    keys = F.json_object_keys(text)
    is_unique = F.size(F.array_distinct(keys)) == F.size(keys)
    other = F.when(text.rlike(in_any_order(contract)), is_unique)
    return F.when(text.rlike(in_order(contract)), F.lit(True)).otherwise(other)


def in_order(contract: Contract) -> str:
    """Return the pattern of an object of a contract's fields in its order and nothing else."""
    members = (
        _member(name, rule) if rule.required else f"(?:{_member(name, rule)})?+"
        for name, rule in contract.fields.items()
    )
    return _object("".join(members))


def in_any_order(contract: Contract) -> str:
    """Return the pattern of an object of members in any order, in which keys may be missing or there twice."""
    known = "|".join(contract.fields)
    members = [_member(name, rule) for name, rule in contract.fields.items()]
    members.append(f'"(?!(?:{known})"){PLAIN}"{BLANK}:{BLANK}{OTHER}{END}')
    return _object(f"(?:{'|'.join(members)})*+")


def _object(members: str) -> str:
    return rf"^{BLANK}\{{{BLANK}{members}\}}{BLANK}\z"


def _member(name: str, rule: FieldRule) -> str:
    literal = LITERALS[rule.type] if rule.required else f"(?:{LITERALS[rule.type]}|null)"
    return f'"{name}"{BLANK}:{BLANK}{literal}{END}'
