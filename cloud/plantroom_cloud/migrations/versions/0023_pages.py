"""Indices for the pages of lists that came with the platform.

Revision ID: 0023
"""

from __future__ import annotations

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

# As in 0016: what a list is filtered by before what it is ordered by.
PAGES = {
    "ix_api_key_company_page": ("api_key", ["company_id", "id"]),
    "ix_invitation_company_page": ("invitation", ["company_id", "id"]),
    "ix_service_account_company_page": ("service_account", ["company_id", "id"]),
    "ix_membership_company_page": ("membership", ["company_id", "id"]),
    "ix_expected_gateway_company_page": ("expected_gateway", ["company_id", "fingerprint"]),
    "ix_edge_record_company_page": (
        "edge_record",
        ["company_id", "stream", "at_us", "gateway_id", "epoch", "seq"],
    ),
    "ix_edge_record_gateway_page": (
        "edge_record",
        ["gateway_id", "stream", "at_us", "epoch", "seq"],
    ),
}


def upgrade() -> None:
    """Make them."""
    for name, (table, columns) in PAGES.items():
        op.create_index(name, table, columns)
