"""What Alembic runs, on the connection and in the transaction of an upgrade."""

from alembic import context

given = context.config.attributes
context.configure(
    connection=given["connection"], target_metadata=given["metadata"], transactional_ddl=True
)
with context.begin_transaction():
    context.run_migrations()
