"""What Alembic runs, on the connection and in the transaction of :func:`blog.schema.upgrade`."""

from alembic import context
from sqlalchemy import text

from blog.models import Base
from blog.models.site import triggers

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
if context.get_context().get_current_revision() != "0001":
    for statement in triggers(connection.dialect.name):
        connection.execute(text(statement))
