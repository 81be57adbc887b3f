"""Alembic's entry: migrations run within the transaction that the ledger gives."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
