"""Lines of forgotten learners, and erasures that have begun and not ended."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "files", sa.Column("forgotten", sa.BigInteger, nullable=False, server_default="0")
    )
    op.create_table(
        "erasing",
        sa.Column("number", sa.BigInteger, primary_key=True),
        sa.Column("document", sa.Text, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("erasing")
    op.drop_column("files", "forgotten")
