"""Jobs, their units, and what happened to them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("name", sa.String(63), primary_key=True),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("attempt", sa.BigInteger, nullable=False),
        sa.Column("failure", sa.String(40)),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("launcher", sa.String(60), nullable=False),
        sa.Column("priority", sa.BigInteger, nullable=False),
        sa.Column("units", sa.BigInteger, nullable=False),
        sa.Column("units_done", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("submitted_at", sa.String(32), nullable=False),
        sa.Column("queued_at", sa.String(32)),
        sa.Column("started_at", sa.String(32)),
        sa.Column("ended_at", sa.String(32)),
        sa.Column("cancel_at", sa.String(32)),
    )
    op.create_table(
        "job_units",
        sa.Column("job", sa.String(63), primary_key=True),
        sa.Column("attempt", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("native", sa.Text),
        sa.Column("failure", sa.String(40)),
        sa.Column("started_at", sa.String(32)),
        sa.Column("ended_at", sa.String(32)),
        sa.Column("exit", sa.Text),
    )
    # One by one: of indexes that columns declare, the order, and so the file, differs each time.
    op.create_index("ix_jobs_owner", "jobs", ["owner"])
    op.create_index("ix_jobs_state", "jobs", ["state"])
    op.create_index("ix_job_units_state", "job_units", ["job", "attempt", "state"])
    op.create_table(
        "job_history",
        sa.Column("job", sa.String(63), primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("what", sa.String(40), nullable=False),
        sa.Column("attempt", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("failure", sa.String(40)),
        sa.Column("details", sa.Text, nullable=False),
    )


def downgrade() -> None:
    for name in ("job_history", "job_units", "jobs"):
        op.drop_table(name)
