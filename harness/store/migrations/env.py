"""What Alembic runs: it works on the connection that it is handed, within its transaction."""

from alembic import context

from harness.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
