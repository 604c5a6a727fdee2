"""The index of words. What fills it is made by the triggers of blog.models.triggers."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE TABLE search_index (id bigint PRIMARY KEY, words tsvector NOT NULL)")
        op.execute("CREATE INDEX ix_search_index_words ON search_index USING gin (words)")
    else:
        op.execute("""
            CREATE VIRTUAL TABLE search_index USING fts5 (
                title, tags, text, marks, tokenize = 'unicode61 remove_diacritics 2'
            )""")
        op.execute("CREATE VIRTUAL TABLE search_vocabulary USING fts5vocab (search_index, row)")
