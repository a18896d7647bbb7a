"""What a person looks at: the report of a run, and the list of suspicious labels."""

from softfold.report.listing import Listing, predicted_issues, run_issues
from softfold.report.page import write_report

__all__ = ["Listing", "predicted_issues", "run_issues", "write_report"]
