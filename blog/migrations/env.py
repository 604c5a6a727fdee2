"""What Alembic runs, on the connection and in the transaction of :func:`blog.schema.upgrade`."""

from alembic import context

from blog.models import Base
from blog.models.triggers import recount, triggers

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
if context.get_context().get_current_revision() == context.get_head_revision():
    for statement in (*triggers(connection.dialect.name), *recount(connection.dialect.name)):
        connection.exec_driver_sql(statement)
