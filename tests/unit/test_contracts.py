"""A wrong contract is refused with file, line, place and reason; the shipped ones load."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from include.contracts import ContractError, load_contract, load_contracts, stream_names
from include.contracts.load import CONTRACTS_DIR
from include.warehouse.sql import read_sql

SHIPPED = (CONTRACTS_DIR / "ad_events.yaml").read_text(encoding="utf-8")


def line_of(text: str, part: str) -> int:
    return next(i for i, line in enumerate(text.splitlines(), 1) if part in line)


def refusal(folder: Path, text: str) -> str:
    (folder / "ad_events.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ContractError) as caught:
        load_contract("ad_events", folder)
    return str(caught.value)


# what to replace, by what, the part that names the line, the place, what the reason says
FAULTS = {
    "unknown key": ("version: 2 ", "owner: me\nversion: 2 ", "owner:", "owner", "Extra inputs"),
    "unknown key in a field": (
        "user_id: {type: string,",
        "user_id: {type: string, colour: red,",
        "user_id:",
        "fields.user_id.colour",
        "Extra inputs",
    ),
    "missing key": ("version: 2 ", "# ", "# Advertising", "version", "Field required"),
    "unknown dimension": (
        "[event_type, country,",
        "[event_type, planet,",
        "dimensions:",
        "cubes.0.dimensions.1",
        "'planet'",
    ),
    "unknown measured field": (
        "field: revenue}",
        "field: profit}",
        "field: profit",
        "cubes.0.measures.1.field",
        "'profit'",
    ),
    "unknown identity": ("[event_id]", "[event_key]", "identity:", "identity.0", "'event_key'"),
    "unknown event time": (
        "field: timestamp",
        "field: moment",
        "field: moment",
        "event_time.field",
        "'moment'",
    ),
    "unknown field in a rule": (
        "when: {event_type: click}",
        "when: {kind: click}",
        "kind: click",
        "rules.1.when",
        "'kind'",
    ),
    "number without bounds": (
        "minimum: 0, maximum: 1000, scale: 6",
        "minimum: 0, scale: 6",
        "revenue: {type",
        "fields.revenue",
        "needs minimum, maximum and scale",
    ),
    "number without scale": (
        "maximum: 1000, scale: 6",
        "maximum: 1000",
        "revenue: {type",
        "fields.revenue",
        "needs minimum, maximum and scale",
    ),
    "bounds that overflow a batch": (
        "maximum: 1000,",
        "maximum: 9000000,",
        "revenue: {type",
        "fields.revenue",
        "overflow",
    ),
    "bounds below zero that overflow a batch": (
        "minimum: 0,",
        "minimum: -9000000,",
        "revenue: {type",
        "fields.revenue",
        "overflow",
    ),
    "bounds that are no numbers": (
        "minimum: 0,",
        "minimum: .nan,",
        "revenue: {type",
        "fields.revenue.minimum",
        "finite",
    ),
    "bounds in the wrong order": (
        "minimum: 0,",
        "minimum: 1001,",
        "revenue: {type",
        "fields.revenue",
        "above maximum",
    ),
    "retention too short": (
        "retention.ms: 604800000 ",
        "retention.ms: 518399999 ",
        "retention.ms: 518399999",
        "topic.config.retention.ms",
        "518400000 ms",
    ),
    "maximum age too long for the retention": (
        "maximum_age_hours: 96",
        "maximum_age_hours: 121",
        "retention.ms:",
        "topic.config.retention.ms",
        "maximum_age_hours + 48 h",
    ),
    "pane that does not divide an hour": (
        "pane_seconds: 60\n",
        "pane_seconds: 77\n",
        "pane_seconds:",
        "cubes.0.pane_seconds",
        "does not divide an hour",
    ),
    "pane longer than an hour": (
        "pane_seconds: 60\n",
        "pane_seconds: 7200\n",
        "pane_seconds:",
        "cubes.0.pane_seconds",
        "less than or equal to 3600",
    ),
    "sum of text": (
        "field: revenue}",
        "field: country}",
        "field: country",
        "cubes.0.measures.1.field",
        "not a number",
    ),
    "dimension that is a number": (
        "country, ad_format]",
        "country, revenue]",
        "dimensions:",
        "cubes.0.dimensions",
        "strings",
    ),
    "column twice": (
        "- {name: revenue, kind",
        "- {name: country, kind",
        "- name: ad_events",
        "cubes.0",
        "'country' twice",
    ),
    "rule with two bounds": (
        "above: 0}",
        "above: 0, equals: 1}",
        "above: 0, equals",
        "rules.1",
        "either equals or above",
    ),
    "rule without a bound": (", above: 0}", "}", "event_type: click}", "rules.1", "either equals or above"),
    "no cube": (SHIPPED[SHIPPED.index("cubes:") :], "cubes: []\n", "cubes:", "cubes", "at least 1"),
    "name that is no identifier": (
        "name: ad_events\n",
        "name: Ad-Events\n",
        "Ad-Events",
        "cubes.0.name",
        "pattern",
    ),
    "another stream": ("stream: ad_events", "stream: logs", "stream:", "", "the file says 'ad_events'"),
    "repeated key": ("version: 2 ", "version: 1\nversion: 2 ", "version: 2", "version", "repeated"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_contract_is_refused_with_file_line_place_and_reason(fault: str, tmp_path: Path) -> None:
    before, after, at, place, reason = FAULTS[fault]
    assert SHIPPED.count(before) == 1, f"{before!r} is in the shipped contract {SHIPPED.count(before)} times"
    text = SHIPPED.replace(before, after)
    said = refusal(tmp_path, text)
    expected = f"ad_events.yaml:{line_of(text, at)}: {place}"
    assert said.startswith(expected), f"expected {expected!r}…, was {said!r}"
    assert reason in said, f"expected a reason with {reason!r}, was {said!r}"


@pytest.mark.parametrize(
    ("text", "line"),
    [("stream: [unclosed\nversion: 1\n", 2), ("a: b: c\n", 1), ("stream: x\n\tversion: 1\n", 2)],
)
def test_text_that_is_not_yaml_is_refused_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    said = refusal(tmp_path, text)
    assert said.startswith(f"ad_events.yaml:{line}: not YAML: "), said


def test_control_characters_and_impossible_dates_are_refused_as_not_yaml(tmp_path: Path) -> None:
    for text in ("stream: a\x00b\n", "stream: 2025-02-30\n"):
        assert refusal(tmp_path, text).startswith("ad_events.yaml:1: not YAML: "), repr(text)
        load_contract.cache_clear()


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, "").startswith("ad_events.yaml:1: contract: ")


def test_several_faults_are_all_named_one_a_line(tmp_path: Path) -> None:
    text = SHIPPED.replace("pane_seconds: 60\n", "pane_seconds: 61\n").replace("version: 2 ", "version: 0 ")
    lines = refusal(tmp_path, text).splitlines()
    places = [re.split(r"[: ]+", line)[2] for line in lines]
    assert places[:2] == ["version", "cubes.0.pane_seconds"], lines


def test_an_unknown_stream_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ContractError, match=r"no contract clicks\.yaml; known streams: .*ad_events"):
        load_contract("clicks")


def test_every_shipped_contract_loads_and_is_frozen() -> None:
    contracts = load_contracts()
    assert [contract.stream for contract in contracts] == stream_names()
    assert contracts, "no contract is shipped"
    for contract in contracts:
        with pytest.raises(ValueError, match="frozen"):
            contract.version = 99


def test_the_names_of_streams_are_listed_without_reading_a_file(tmp_path: Path) -> None:
    (tmp_path / "zeta.yaml").write_bytes(b"\xff\x00 not yaml")
    (tmp_path / "alpha.yaml").write_text("", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("", encoding="utf-8")
    assert stream_names(tmp_path) == ["alpha", "zeta"]


def test_the_ad_events_contract_says_what_its_users_were_promised() -> None:
    contract = load_contract("ad_events")
    assert (contract.topic.name, contract.topic.partitions) == ("ad-events", 4)
    assert contract.topic.config["retention.ms"] == str(7 * 24 * 3_600_000)
    assert (contract.identity, contract.lateness_seconds) == (("event_id",), 60)
    assert contract.fields["country"].allowed == ("US", "KR", "JP", "UK", "CA", "FR", "DE")
    revenue = contract.fields["revenue"]
    assert (revenue.minimum, revenue.maximum, revenue.scale) == (0, 1000, 6)


def test_cube_tables_hold_sums_as_decimal_and_every_dimension_in_their_order() -> None:
    cube = load_contract("ad_events").cubes[0]
    delta, sealed = read_sql("cubes/delta.sql.j2", cube=cube), read_sql("cubes/sealed.sql.j2", cube=cube)
    assert "revenue Decimal(38, 0)" in delta
    assert "came_revenue Decimal(38, 0)" in sealed
    assert "ORDER BY (window_start, event_type, country, ad_format, batch)" in delta
    assert "ORDER BY (window_start, event_type, country, ad_format, frontier, seal)" in sealed


def test_the_shipped_files_are_read_as_yaml_mappings() -> None:
    for name in stream_names():
        assert isinstance(yaml.safe_load((CONTRACTS_DIR / f"{name}.yaml").read_text(encoding="utf-8")), dict)
