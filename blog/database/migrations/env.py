"""What Alembic runs, on the connection and in the transaction of :func:`blog.operations.migration.upgrade`."""

from alembic import context

from blog.models import Base, derived

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, transactional_ddl=True)
derived.drop(connection)
with context.begin_transaction():
    context.run_migrations()
if context.get_context().get_current_revision() == context.get_head_revision():
    derived.make(connection)
