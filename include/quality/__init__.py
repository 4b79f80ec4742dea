"""Data quality: Great Expectations suites on the served hour and on its ledger and balance."""

import logging

# Before its import, which logs hundreds of lines at INFO; they would hide the report in the task's log.
logging.getLogger("great_expectations").setLevel(logging.WARNING)
