"""What a person looks at: the report of a run, and the list of suspicious labels."""

from softfold.report.page import write_report

__all__ = ["write_report"]
