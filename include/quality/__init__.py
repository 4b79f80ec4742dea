"""Data quality: Great Expectations suites on the served hour and on its ledger and balance."""
