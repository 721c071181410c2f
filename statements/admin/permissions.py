"""What it takes to issue, send and void statements."""

ISSUE, SEND, VOID = "statements.issue_statements", "statements.send_statements", "statements.void_statement"
