"""Suites as files: expectations/<name>.json is the source of truth, in Great Expectations' own form.

Beside the expectations a file's `meta` says what feeds it (`query`, a file under sql/, or `source`), which
streams it is for (`streams`; absent: every stream) and which columns name a row (`row_key`). An
expectation may be for some streams only, or stand for one of each field of a kind (`for_each`,
with {field} in place of its name), so that one file fits every contract.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from include.contracts import Contract
from include.contracts.model import FieldRule
from include.settings import PROJECT_ROOT

if TYPE_CHECKING:
    from great_expectations.core.expectation_suite import ExpectationSuite

SUITES_DIR = PROJECT_ROOT / "expectations"
PLATFORM_KEYS = {"for_each", "streams"}  # of an expectation, which Great Expectations does not know

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]


class SuiteError(ValueError):
    """A suite's file is wrong; the message names the file and the reason."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"expectations/{path.name}: {reason}")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SuiteMeta(_Part):
    """What the platform needs to know of a suite beside its expectations."""

    purpose: str
    query: Annotated[str, StringConstraints(pattern=r"^quality/[a-z0-9_]+\.sql(\.j2)?$")] | None = None
    source: Literal["raw_log"] | None = None
    streams: tuple[Name, ...] | None = None
    row_key: tuple[Name, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.query is None) == (self.source is None):
            raise ValueError("a suite has either a query or a source")
        return self


class ExpectationEntry(_Part):
    """One expectation; `severity` is required, since critical fails the DAG and warning does not."""

    type: Name
    kwargs: dict[str, Any]
    severity: Literal["critical", "warning"]
    description: Annotated[str, StringConstraints(min_length=1)]
    for_each: Literal["required", "allowed", "number", "min_length"] | None = None
    streams: tuple[Name, ...] | None = None


class SuiteFile(_Part):
    """The content of one suite file."""

    name: Name
    meta: SuiteMeta
    expectations: tuple[ExpectationEntry, ...] = Field(min_length=1)


@dataclass(frozen=True)
class LoadedSuite:
    """A suite that Great Expectations has accepted, and what was read about it."""

    file: SuiteFile
    suite: ExpectationSuite


def read_suite_file(path: Path) -> SuiteFile:
    """Read one file and check its shape, without Great Expectations.

    Raises:
        SuiteError: no JSON, an unknown or missing key, a name that is not the file's.
    """
    try:
        content = SuiteFile.model_validate_json(path.read_text(encoding="utf-8"), strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise SuiteError(path, f"{place}: {first['msg']}" if place else str(first["msg"])) from error
    if content.name != path.stem:
        raise SuiteError(path, f"its name is {content.name!r}, which must be the file's name, {path.stem!r}")
    return content


def build_suite(path: Path, content: SuiteFile) -> LoadedSuite:
    """Hand the expectations to Great Expectations one by one, so that a wrong one is named.

    Raises:
        SuiteError: an expectation is unknown or has wrong arguments.
    """
    from great_expectations.core.expectation_suite import ExpectationSuite
    from great_expectations.exceptions import GreatExpectationsError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    expectations = []
    for number, entry in enumerate(content.expectations, start=1):
        try:
            expectations.append(
                ExpectationConfiguration(**entry.model_dump(exclude=PLATFORM_KEYS)).to_domain_obj()
            )
        except (GreatExpectationsError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise SuiteError(path, f"expectation {number} ({entry.type}): {reason}") from error
    suite = ExpectationSuite(
        name=content.name, expectations=expectations, meta={"purpose": content.meta.purpose}
    )
    return LoadedSuite(content, suite)


def for_contract(content: SuiteFile, contract: Contract) -> SuiteFile:
    """Return the suite of one stream: without what is for others, and with an expectation for each field of a kind."""
    found = []
    for entry in content.expectations:
        if entry.streams is not None and contract.stream not in entry.streams:
            continue
        text = entry.model_dump_json(exclude=PLATFORM_KEYS)
        names = _fields_of(contract, entry.for_each) if entry.for_each else [""]
        found += [ExpectationEntry.model_validate_json(text.replace("{field}", name)) for name in names]
    return content.model_copy(update={"expectations": tuple(found)})


def _fields_of(contract: Contract, kind: str) -> list[str]:
    def is_of(rule: FieldRule) -> bool:
        return rule.is_number if kind == "number" else bool(getattr(rule, kind))

    return [name for name, rule in contract.fields.items() if is_of(rule)]


def load_suites(contract: Contract, folder: Path = SUITES_DIR) -> list[LoadedSuite]:
    """Return the suites that apply to a stream, by name. Every file is read, so a wrong one is never overlooked.

    Raises:
        SuiteError: a file is wrong.
        FileNotFoundError: no suite applies to the stream.
    """
    files = [(path, read_suite_file(path)) for path in sorted(folder.glob("*.json"))]
    chosen = [(path, f) for path, f in files if f.meta.streams is None or contract.stream in f.meta.streams]
    if not chosen:
        raise FileNotFoundError(f"no suite under {folder.name}/ applies to the stream {contract.stream!r}")
    return [build_suite(path, for_contract(content, contract)) for path, content in chosen]


def parameters_used(content: SuiteFile) -> set[str]:
    """Return the names behind every {"$PARAMETER": name} of a suite."""
    found: set[str] = set()

    def note(node: dict[str, Any]) -> dict[str, Any]:
        if "$PARAMETER" in node:
            found.add(str(node["$PARAMETER"]))
        return node

    json.loads(json.dumps([entry.kwargs for entry in content.expectations]), object_hook=note)
    return found
