"""Who has which job, and messages about jobs: to whom, when, and what became of them."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("job", sa.String(63), nullable=False),
        sa.Column("event", sa.String(60), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("receiver", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("tries", sa.BigInteger, nullable=False),
        sa.Column("due", sa.String(32)),
        sa.Column("ended", sa.String(32)),
        sa.Column("outcome", sa.String(100), nullable=False),
        sa.UniqueConstraint("job", "event", "kind", "receiver", name="uq_deliveries_notice"),
    )
    op.create_index("ix_deliveries_due", "deliveries", ["due"])
    op.create_table(
        "leases",
        sa.Column("job", sa.String(63), primary_key=True),
        sa.Column("holder", sa.String(100), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("until", sa.String(32), nullable=False),
        sa.Column("tries", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_leases_holder", "leases", ["holder"])


def downgrade() -> None:
    for table in ("leases", "deliveries"):
        op.drop_table(table)
