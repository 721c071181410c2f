"""Databases and configurations of the FastAPI version, made by the tests with the tables and columns it has."""

import json
import sqlite3
from pathlib import Path

SCHEMA = """
CREATE TABLE schema_version (version INTEGER PRIMARY KEY, applied_at DATETIME DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE billing_periods (id INTEGER PRIMARY KEY, period VARCHAR(7) NOT NULL UNIQUE,
    status VARCHAR(20) DEFAULT 'open', opened_at DATETIME,
    closed_at DATETIME, closed_by VARCHAR(200), finalized_at DATETIME, finalized_by VARCHAR(200),
    reopened_at DATETIME, reopened_by VARCHAR(200), reopen_reason TEXT, notes TEXT);
CREATE TABLE sources (id INTEGER PRIMARY KEY, name VARCHAR(100) NOT NULL UNIQUE, display_name VARCHAR(200),
    source_type VARCHAR(20) NOT NULL, enabled BOOLEAN DEFAULT '1', created_at DATETIME);
CREATE TABLE charges (id INTEGER PRIMARY KEY, billing_period_id INTEGER NOT NULL, source_id INTEGER NOT NULL,
    charge_period_start VARCHAR(10), charge_period_end VARCHAR(10), list_cost FLOAT, contracted_cost FLOAT,
    billed_cost FLOAT NOT NULL, effective_cost FLOAT, resource_id VARCHAR(500), resource_name VARCHAR(500),
    service_name VARCHAR(200), pi_email VARCHAR(254) NOT NULL, project_id VARCHAR(200), fund_org VARCHAR(100),
    reference_1 VARCHAR(200), reference_2 VARCHAR(200), raw_tags TEXT, needs_review BOOLEAN DEFAULT '0',
    review_reason TEXT, reviewed_at DATETIME, reviewed_by VARCHAR(200), imported_at DATETIME, rejected_at DATETIME,
    rejected_by VARCHAR(200), rejection_note TEXT,
    UNIQUE (billing_period_id, source_id, resource_id, charge_period_start));
CREATE TABLE statements (id INTEGER PRIMARY KEY, billing_period_id INTEGER NOT NULL, pi_email VARCHAR(254) NOT NULL,
    total_cost FLOAT NOT NULL, project_count INTEGER, generated_at DATETIME, sent_at DATETIME, pdf_path VARCHAR(500));
CREATE TABLE imports (id INTEGER PRIMARY KEY, filename VARCHAR(500) NOT NULL, source_id INTEGER NOT NULL,
    billing_period_id INTEGER NOT NULL, row_count INTEGER, total_cost FLOAT);
CREATE TABLE email_logs (id INTEGER PRIMARY KEY, statement_id INTEGER, recipient VARCHAR(254) NOT NULL,
    status VARCHAR(20) NOT NULL);
CREATE TABLE journal_exports (id INTEGER PRIMARY KEY, billing_period_id INTEGER NOT NULL, format VARCHAR(20) NOT NULL,
    include_flagged BOOLEAN, row_count INTEGER, total_cost FLOAT, exported_at DATETIME, exported_by VARCHAR(200),
    filename VARCHAR(500));
CREATE TABLE users (id INTEGER PRIMARY KEY, username VARCHAR(100) NOT NULL UNIQUE, email VARCHAR(254) NOT NULL,
    display_name VARCHAR(200), password_hash VARCHAR(200) NOT NULL, role VARCHAR(20) NOT NULL DEFAULT 'viewer');
CREATE TABLE review_logs (id INTEGER PRIMARY KEY, billing_period_id INTEGER NOT NULL, charge_id INTEGER NOT NULL,
    action VARCHAR(20) NOT NULL, pi_email VARCHAR(254) NOT NULL, amount FLOAT NOT NULL, note TEXT);
INSERT INTO schema_version (version) VALUES (9);
"""

CONFIGURATION = """
currency: "$"
email: {from_address: rc@u.edu, from_name: Research Computing at U, subject_template: "Charges - {billing_period}"}
tag_mapping: {pi_email: owner, project_id: project_id, fund_org: fund_org, reference_1: grant_number}
review:
  flag_patterns: [sagemaker]
  fund_org_patterns: ['[A-Z]+-\\d+', '^X(?=Y)']
imports:
  known_sources:
  - {name: AWS, pattern: aws, fund_org: RC-100, account_code: "6500"}
  - {name: HPC, pattern: hpc, fund_org: RC-200, account_code: "6510"}
journal: {fund_org_regex: "^(?P<orgn>[^-]+)-(?P<fund>.+)$", template: journal_gl.csv}
smtp: {host: smtp.u.edu, password: "${SMTP_PASSWORD}"}
web:
  users:
    boss: {email: boss@u.edu, display_name: The Boss, password_hash: "$2b$12$x", role: admin, recovery: true}
"""


class Made:
    """A database of the FastAPI version that a test fills."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = sqlite3.connect(path)
        self.connection.executescript(SCHEMA)

    def insert(self, table: str, **values: object) -> int:
        """Add a row and return its id."""
        marks = ", ".join("?" * len(values))
        added = self.connection.execute(
            f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})",
            [json.dumps(value) if isinstance(value, dict) else value for value in values.values()],
        )
        self.connection.commit()
        return added.lastrowid or 0

    def month(self, period: str, status: str = "open", **values: object) -> int:
        return self.insert("billing_periods", period=period, status=status, **values)

    def source(self, name: str, display_name: str = "") -> int:
        return self.insert("sources", name=name, display_name=display_name or name, source_type="file")

    def charge(self, period: int, source: int, billed: float, **values: object) -> int:
        """Add a charge of Ada's genomics, unless told otherwise."""
        (number,) = self.connection.execute("SELECT count(*) FROM charges").fetchone()
        row: dict[str, object] = {
            "billing_period_id": period,
            "source_id": source,
            "charge_period_start": "2025-01-01",
            "charge_period_end": "2025-01-31",
            "billed_cost": billed,
            "list_cost": billed,
            "resource_id": f"i-{number}",
            "service_name": "EC2",
            "pi_email": "ada@u.edu",
            "project_id": "genomics",
            "fund_org": "BIO-001",
            **values,
        }
        tags = {"owner": row["pi_email"], "project_id": row["project_id"], "fund_org": row["fund_org"]}
        row.setdefault("raw_tags", {key: value for key, value in tags.items() if value})
        return self.insert("charges", **row)

    def close(self) -> Path:
        self.connection.close()
        return self.path
