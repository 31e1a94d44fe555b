"""The audit log: rows are added at its end and stay as they are."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SQLITE = (
    """
    CREATE TRIGGER audit_stays BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END
    """,
    """
    CREATE TRIGGER audit_keeps BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END
    """,
    # Also against INSERT OR REPLACE, which deletes without waking the trigger above.
    """
    CREATE TRIGGER audit_follows BEFORE INSERT ON audit
    WHEN NEW.number <> (SELECT coalesce(max(number), 0) + 1 FROM audit)
      OR NEW.previous <> coalesce((SELECT digest FROM audit ORDER BY number DESC LIMIT 1), '')
    BEGIN SELECT RAISE(ABORT, 'a row of the audit log must go on from the last one'); END
    """,
)
POSTGRESQL = (
    """
    CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$
    """,
    """
    CREATE FUNCTION audit_follow() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF NEW.number <> (SELECT coalesce(max(number), 0) + 1 FROM audit)
        OR NEW.previous <> coalesce((SELECT digest FROM audit ORDER BY number DESC LIMIT 1), '')
      THEN RAISE EXCEPTION 'a row of the audit log must go on from the last one';
      END IF;
      RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER audit_stays BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_refuse()
    """,
    """
    CREATE TRIGGER audit_keeps BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()
    """,
    """
    CREATE TRIGGER audit_follows BEFORE INSERT ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_follow()
    """,
)


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("what", sa.String(60), nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
    )
    connection = op.get_bind()
    for statement in SQLITE if connection.dialect.name == "sqlite" else POSTGRESQL:
        connection.exec_driver_sql(statement)


def downgrade() -> None:
    op.drop_table("audit")
    connection = op.get_bind()
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql("DROP FUNCTION audit_refuse()")
        connection.exec_driver_sql("DROP FUNCTION audit_follow()")
