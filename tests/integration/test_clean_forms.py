"""What Spark SQL takes for clean by itself, and what it leaves to the classifier: forms of one valid record."""

from __future__ import annotations

import json

import pytest
from pyspark.sql import SparkSession

from include.contracts import load_contract
from include.reconcile.classify import classified
from include.reconcile.clean import LONGEST_VALUE
from tests.helpers import encoded

VALID = json.loads(encoded())
SPACED, COMPACT = (", ", ": "), (",", ":")


def written(members: dict[str, object], separators: tuple[str, str] = COMPACT, **options: object) -> bytes:
    return json.dumps(members, separators=separators, **options).encode()  # type: ignore[arg-type]


CLEAN = {
    "compact": written(VALID),
    "spaced": written(VALID, SPACED),
    "indented": written(VALID, indent=2),
    "another order": written(dict(reversed(VALID.items()))),
    "an unknown field": written({"source": None, **VALID, "a.b": 1}),
    "an escape": written({**VALID, "user_id": 'U"1\\2\n'}),
    "braces in a text": written({**VALID, "user_id": "{[U1]}"}),
    "another script": written({**VALID, "user_id": "사용자"}, ensure_ascii=False),
    "nothing but escapes": written({**VALID, "user_id": "\n" * (LONGEST_VALUE // 2 - 200)}),
}
DOUBTFUL = {
    "a key twice": written(VALID)[:-1] + b',"country":"KR"}',
    "a key twice in its order": written(VALID).replace(b'"country":', b'"country":"KR","country":'),
    "an unknown key twice": written(VALID)[:-1] + b',"x":1,"x":1}',
    "a key with an escape": written(VALID).replace(b'"country"', rb'"\u0063ountry"'),
    "an escaped letter": written({**VALID, "user_id": "é"}),
    "a nested object": written({**VALID, "more": {"country": "KR"}}),
    "a trailing comma": written(VALID)[:-1] + b",}",
    "a missing comma": written(VALID).replace(b',"country"', b' "country"'),
    "something behind it": written(VALID) + b"{}",
    "an object in a list": b"[" + written(VALID) + b"]",
    "a number for a text": written({**VALID, "user_id": 5}),
    "a text for a number": written({**VALID, "revenue": "0.01"}),
    "null for a required text": written({**VALID, "user_id": None}),
    "a raw control character": written({**VALID, "user_id": "U~1"}).replace(b"~", b"\x01"),
    "a number with a leading zero": written(VALID).replace(b'"revenue":', b'"revenue":0'),
}


@pytest.mark.parametrize(("forms", "is_clean"), [(CLEAN, True), (DOUBTFUL, False)], ids=["clean", "doubtful"])
def test_what_is_clean(local_spark: SparkSession, forms: dict[str, bytes], is_clean: bool) -> None:
    at_us = 1_765_850_648_891_156
    rows = [(number, bytearray(value), at_us) for number, value in enumerate(forms.values())]
    records = local_spark.createDataFrame(rows, "offset long, value binary, kafka_us long")
    found = {row["offset"]: row["clean"] for row in classified(records, load_contract("ad_events")).collect()}
    wrong = [name for number, name in enumerate(forms) if found[number] != is_clean]
    assert not wrong
