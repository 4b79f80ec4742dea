"""docs/adding_a_stream.md shows the files of tests/fourth_stream, letter by letter."""

from __future__ import annotations

import re

from include.contracts import load_contract
from include.settings import PROJECT_ROOT

ADDED = PROJECT_ROOT / "tests" / "fourth_stream"
PAGE = PROJECT_ROOT / "docs" / "adding_a_stream.md"


def test_the_page_shows_each_file_as_it_is() -> None:
    shown = set(
        re.findall(r"^```\w+\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    )
    files = {
        path.relative_to(ADDED): path.read_text(encoding="utf-8")
        for folder in ("include", "sql")
        for path in (ADDED / folder).rglob("*.*")
        if path.suffix != ".pyc"
    }
    assert files
    wrong = [str(path) for path, text in files.items() if text not in shown]
    assert not wrong, f"the page shows {', '.join(wrong)} otherwise than it is"
    assert len(shown) == len(files)


def test_its_contract_is_one() -> None:
    contract = load_contract("sensor_readings", ADDED / "include" / "contracts")
    assert [cube.name for cube in contract.cubes] == ["sensor_minutes"]
