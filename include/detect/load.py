"""Reads the detector files; one that is wrong is named and stops no other.

A detector is a file sql/detectors/<name>.sql.j2: a first line that says what it finds, a header of lines
`-- key: value` (the fields of Header), and one SELECT. docs/detectors.md says what the SELECT must yield.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from jinja2 import TemplateError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from include.contracts import Contract, Cube, load_contracts
from include.contracts.model import Identifier
from include.warehouse.sql import SQL_DIR, render_sql
from include.warehouse.views import ViewError, served_cubes

DETECTORS_DIR = SQL_DIR / "detectors"
SUFFIX = ".sql.j2"
GROWING, CLOSED = "growing", "closed"
_KEY = re.compile(r"-- ([a-z_]+): (.+)")


class Header(BaseModel):
    """What a detector file says of itself.

    cube: whose panes its figures are made of; of a cube of arrivals, the windows are of Kafka time.
    when: growing, where more events can only make it true: it is judged at every commit; else closed: judged once
    its window has ended. reads_back_seconds: how far before its window the rule looks.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    stream: Identifier
    cube: Identifier
    severity: Literal["critical", "warning"]
    when: Literal["growing", "closed"]
    window_seconds: int = Field(ge=1, le=86_400)
    slide_seconds: int = Field(ge=1, le=86_400)
    reads_back_seconds: int = Field(0, ge=0, le=86_400)
    subject: str = Field(min_length=1)
    rule: str = Field(min_length=1)

    @model_validator(mode="after")
    def _windows_leave_no_gap(self) -> Self:
        if self.slide_seconds > self.window_seconds:
            raise ValueError(f"windows of {self.window_seconds} s every {self.slide_seconds} s leave gaps")
        return self


@dataclass(frozen=True)
class Detector:
    """A detector that can be run. `sql` reads all that is served, `sealed_sql` what certificates in force cover."""

    name: str
    header: Header
    contract: Contract
    cube: Cube
    sql: str
    sealed_sql: str

    @property
    def pane_seconds(self) -> int:
        """Width of what a batch touches, in the time that the windows are of."""
        return self.cube.arrival_seconds or self.cube.pane_seconds


@dataclass(frozen=True)
class Loaded:
    """The detectors by name, and what is wrong with the files that gave none."""

    detectors: dict[str, Detector] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)

    def of(self, stream: str) -> list[Detector]:
        """Return the detectors of a stream."""
        return [found for found in self.detectors.values() if found.header.stream == stream]


class DetectorError(ValueError):
    """A detector file is wrong; the message names the file and the fault."""


def load_detectors(folder: Path = DETECTORS_DIR, contracts: Sequence[Contract] | None = None) -> Loaded:
    """Return what the files of a folder hold.

    Raises:
        ContractError: a contract file is wrong.
    """
    known = load_contracts() if contracts is None else contracts
    loaded = Loaded()
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        name = path.name.removesuffix(SUFFIX)
        try:
            loaded.detectors[name] = _load(path, name, known)
        except (DetectorError, OSError, UnicodeDecodeError) as error:
            loaded.faults[name] = str(error)
    return loaded


def _load(path: Path, name: str, contracts: Sequence[Contract]) -> Detector:
    text = path.read_text(encoding="utf-8")
    try:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", name):
            raise DetectorError(f"{path.name}: a detector's name is lower case letters, digits and _")
        header = Header.model_validate(_header(text))
        contract = next((found for found in contracts if found.stream == header.stream), None)
        if contract is None:
            raise DetectorError(f"{path.name}: stream: there is no contract {header.stream!r}")
        cubes = {cube.name: cube for cube in contract.cubes}
        if header.cube not in cubes:
            raise DetectorError(f"{path.name}: cube: {header.stream} has no cube {header.cube!r}")
        # Without the header: a percent sign in it would be taken for a parameter.
        body = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
        served = served_cubes(contracts)
        all_sql, sealed_sql = (
            render_sql(body, filtered=True, sealed_only=sealed, cubes=served).strip()
            for sealed in (False, True)
        )
        return Detector(name, header, contract, cubes[header.cube], all_sql, sealed_sql)
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, fault['loc'])) or 'header'}: {fault['msg']}"
            for fault in error.errors(include_url=False)
        ]
        raise DetectorError(f"{path.name}: {'; '.join(faults)}") from error
    except (ViewError, TemplateError) as error:
        raise DetectorError(f"{path.name}: {error}") from error


def _header(text: str) -> dict[str, str]:
    """Return the keys of the comment that a file begins with; its first line is what the file is for."""
    found: dict[str, str] = {}
    for line in text.splitlines()[1:]:
        if not line.startswith("--"):
            break
        match = _KEY.fullmatch(line.rstrip())
        if match:
            found[match[1]] = match[2]
    return found
