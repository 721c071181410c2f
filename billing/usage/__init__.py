"""Usage into charges: records of what was used, a dated rate schedule, and FOCUS rows that are imported."""
