"""Runs suites on frames with Great Expectations, and builds the Data Docs of one run.

One context for each run, with its own folder: contexts that share files fail when they run at once.
Great Expectations takes seconds to import, so nothing imports this module when a DAG is parsed.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import great_expectations as gx
import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from great_expectations.core.batch_definition import BatchDefinition
from great_expectations.core.expectation_validation_result import ExpectationValidationResult
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults
from great_expectations.data_context.types.resource_identifiers import (
    ExpectationSuiteIdentifier,
    ValidationResultIdentifier,
)

from include.quality.report import CheckResult
from include.quality.suites import LoadedSuite

SITE = "local_site"
RAW_ON_PAGES = ("partial_unexpected_counts", "partial_unexpected_list", "observed_value")
SHOWN_VALUES = 10
TEXT_LIMIT = 600


class SuiteRunner:
    """Validates frames against suites and publishes the results as one Data Docs site under `folder`."""

    def __init__(self, folder: Path, stream: str) -> None:
        self.folder = folder
        self.stream = stream
        logging.getLogger("great_expectations").setLevel(logging.WARNING)
        self.context = gx.get_context(mode="ephemeral", project_config=_configuration(folder))
        self.context.variables.progress_bars = {"globally": False}
        self.source = self.context.data_sources.add_pandas(name=stream)
        self.batches: dict[str, BatchDefinition[Any]] = {}

    def check(
        self, loaded: LoadedSuite, frame: pd.DataFrame, hour: datetime, parameters: Mapping[str, Any]
    ) -> list[CheckResult]:
        """Return one result for each expectation of the suite; an expectation that raised counts as failed."""
        name = loaded.file.name
        if name not in self.batches:
            self.context.suites.add(loaded.suite)
            self.batches[name] = self.source.add_dataframe_asset(
                name=name
            ).add_batch_definition_whole_dataframe("hour")
            definition = gx.ValidationDefinition(name=name, data=self.batches[name], suite=loaded.suite)
            self.context.validation_definitions.add(definition)
        run_id = RunIdentifier(run_name=f"{self.stream}_{hour:%Y-%m-%dT%H}", run_time=datetime.now(UTC))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outcome = self.context.validation_definitions.get(name).run(
                batch_parameters={"dataframe": frame},
                expectation_parameters=dict(parameters),
                result_format={
                    "result_format": "SUMMARY",
                    "partial_unexpected_count": SHOWN_VALUES,
                    "unexpected_index_column_names": list(loaded.file.meta.row_key),
                },
                run_id=run_id,
            )
        # GX's name of a batch that is a whole frame: source-asset
        identifier = ValidationResultIdentifier(
            ExpectationSuiteIdentifier(name), run_id, f"{self.stream}-{name}"
        )
        evidence = str(self.page(identifier))
        found = [self._result(r, name, hour, evidence) for r in outcome.results]
        for result in outcome.results:
            result.result = {key: _shown(key, value) for key, value in (result.result or {}).items()}
        self.context.validation_results_store.set(identifier, outcome)
        return found

    def page(self, identifier: ValidationResultIdentifier) -> Path:
        """Return where the page of a validation is, once the site is built."""
        return self.folder.joinpath("validations", *identifier.to_tuple()).with_suffix(".html")

    def build_site(self) -> Path:
        """Write the Data Docs and return their first page."""
        self.context.build_data_docs()
        return self.folder / "index.html"

    def _result(
        self, result: ExpectationValidationResult, suite: str, hour: datetime, evidence: str
    ) -> CheckResult:
        configuration = result.expectation_config
        assert configuration is not None
        kwargs = {k: v for k, v in configuration.kwargs.items() if k != "batch_id"}
        return CheckResult(
            stream=self.stream,
            hour=hour,
            suite=suite,
            expectation=configuration.type,
            description=configuration.description or "",
            column=column_of(kwargs),
            severity="warning" if configuration.severity == "warning" else "critical",
            success=bool(result.success),
            observed=observed_text(result),
            expected=_as_text(kwargs),
            evidence=evidence,
        )


def _shown(key: str, value: Any) -> Any:
    """Escape what GX writes into its pages as it came: a producer's text would be run as a script."""
    return _escaped(value) if key in RAW_ON_PAGES else value


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, Mapping):
        return {key: _escaped(item) for key, item in value.items()}
    return [_escaped(item) for item in value] if isinstance(value, list | tuple) else value


def column_of(kwargs: Mapping[str, Any]) -> str:
    """Return the column or columns that an expectation is about; empty for the table."""
    if "column" in kwargs:
        return str(kwargs["column"])
    if "column_A" in kwargs:
        return f"{kwargs['column_A']}, {kwargs['column_B']}"
    return ", ".join(kwargs.get("column_list", []))


def observed_text(result: ExpectationValidationResult) -> str:
    """Return what was seen: a figure, or how many rows differ and the first of them with their keys."""
    raised = _raised(result.exception_info or {})
    if raised:
        return f"no result: {raised}"[:TEXT_LIMIT]
    seen = result.result or {}
    if seen.get("unexpected_count"):
        examples = seen.get("partial_unexpected_index_list") or seen.get("partial_unexpected_list") or []
        counted = f"{seen['unexpected_count']} of {seen.get('element_count', '?')} rows"
        return f"{counted}, among them {_as_text(examples[:3])}"[:TEXT_LIMIT]
    if "observed_value" in seen:
        return _as_text(seen["observed_value"])
    return f"{seen.get('element_count', 0)} rows, none unexpected"


def _raised(information: Mapping[str, Any]) -> str:
    if "raised_exception" in information:
        return str(information["exception_message"]) if information["raised_exception"] else ""
    return "; ".join(str(i["exception_message"]) for i in information.values() if i.get("raised_exception"))


def _as_text(value: object) -> str:
    return json.dumps(value, default=_plain)[:TEXT_LIMIT]


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else str(value)


def _configuration(folder: Path) -> DataContextConfig:
    return DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        analytics_enabled=False,
        data_docs_sites={
            SITE: {
                "class_name": "SiteBuilder",
                "show_how_to_buttons": False,
                "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder)},
                "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            }
        },
    )
