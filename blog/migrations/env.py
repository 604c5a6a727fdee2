"""What Alembic runs, on the connection and in the transaction of :func:`blog.schema.upgrade`."""

from alembic import context

from blog.models import Base, searchable
from blog.models.triggers import recount, triggers

connection = context.config.attributes["connection"]
dialect = connection.dialect.name
context.configure(connection=connection, target_metadata=Base.metadata, transactional_ddl=True)
for statement in searchable.drop(dialect):
    connection.exec_driver_sql(statement)
with context.begin_transaction():
    context.run_migrations()
if context.get_context().get_current_revision() == context.get_head_revision():
    for statement in (*triggers(dialect), *recount(dialect), *searchable.index(dialect)):
        connection.exec_driver_sql(statement)
