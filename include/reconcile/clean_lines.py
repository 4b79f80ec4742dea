"""What is surely one access-log line, and its fields, in Spark SQL: a stricter form than the contract's, of its own.

A plain line: what may be an address, a name without blanks, a real request line whose path has a first segment of
letters and digits or is `/`, and texts in quotes without escapes. Every other line goes to the classifier.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from include.contracts import Contract
from include.contracts.model import JSON

MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"
HOUR, SIXTIETH = "(?:[01][0-9]|2[0-3])", "[0-5][0-9]"
CLOCK = f"{HOUR}:{SIXTIETH}:{SIXTIETH}"
TIME = rf"\[[0-3][0-9]/[JFMASOND][a-z]{{2}}/[0-9]{{4}}:{CLOCK} [+-]{HOUR}{SIXTIETH}\]"
PATH = r"/(?:[A-Za-z0-9_-]+(?:[/?][A-Za-z0-9_/?&=.,:;~%+-]*)?)?"
REQUEST = rf"(?:GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS) {PATH} HTTP/[12]\.[01]"
COMMON = (
    rf'^(?:-|[0-9A-Fa-f.:]+) - (?:-|[A-Za-z0-9][A-Za-z0-9_.@-]*) {TIME} "{REQUEST}" [0-9]{{3}} (?:-|[0-9]+)'
)
QUOTED = r'"[ !#-\[\]-~]*"'  # printable, without quote and backslash
TAILS = {"nginx_combined": f" {QUOTED} {QUOTED}", "apache_common": ""}
HOST, USER, STAMP, ZONE, TARGET, STATUS = 0, 2, 3, 4, 6, 8  # where a plain line has them, split at blanks


def with_line_fields(parsed: DataFrame, contract: Contract) -> DataFrame:
    """Let (text, readable, clean_<field>) hold the fields of plain lines besides those of objects."""
    tails = "|".join(TAILS[name] for name in contract.line_formats)
    plain = F.when(~F.col("readable"), F.col("text")).rlike(rf"{COMMON}(?:{tails})\z")
    if JSON not in contract.formats:
        parsed = parsed.withColumn("readable", F.lit(False))
    parsed = parsed.withColumn("line", F.coalesce(plain, F.lit(False)))
    parsed = parsed.withColumn("parts", F.when(F.col("line"), F.split("text", " ", 10)))
    values = _line_values()
    values[contract.event_time.field] = _moment()
    if contract.event_time.encoding == "epoch_ms":
        values[contract.event_time.field] = F.unix_millis(_moment().try_cast("timestamp"))
    fields: dict[str, Column] = {}
    for name, rule in contract.fields.items():
        found = values.get(name, F.lit(None))
        if not rule.is_number and not rule.required:
            found = F.coalesce(found, F.lit(""))
        fields[f"clean_{name}"] = F.when(F.col("line"), found).otherwise(F.col(f"clean_{name}"))
    parsed = parsed.withColumns(fields)
    return parsed.withColumn("readable", F.col("readable") | F.col("line")).drop("line", "parts")


def _part(index: int) -> Column:
    return F.get("parts", F.lit(index))


def _line_values() -> dict[str, Column]:
    """Return what a line yields by name, null where absent; only where `line`."""
    service = F.substring_index(F.substring_index(F.substring(_part(TARGET), 2, 65_536), "?", 1), "/", 1)
    status = _part(STATUS).try_cast("long")
    return {
        "ip_address": F.when(_part(HOST) != "-", _part(HOST)),
        "user_id": F.when(_part(USER) != "-", _part(USER)),
        "service": F.when(service == "", "root").otherwise(service),
        "status_code": status,
        "level": F.when(status < 400, "INFO").when(status < 500, "WARN").otherwise("ERROR"),
    }


def _moment() -> Column:
    """Return the time in the brackets as YYYY-MM-DDTHH:MM:SS±HH:MM, null for a month that is none."""
    stamp, zone = _part(STAMP), _part(ZONE)
    at = F.instr(F.lit(MONTHS), F.substring(stamp, 5, 3)) + 2
    month = F.when(at % 3 == 0, F.lpad((at / 3).cast("int").cast("string"), 2, "0"))
    clock = F.concat(F.substring(stamp, 14, 8), F.substring(zone, 1, 3), F.lit(":"), F.substring(zone, 4, 2))
    return F.concat(
        *(
            F.substring(stamp, 9, 4),
            F.lit("-"),
            month,
            F.lit("-"),
            F.substring(stamp, 2, 2),
            F.lit("T"),
            clock,
        )
    )
