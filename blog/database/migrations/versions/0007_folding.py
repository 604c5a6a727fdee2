"""The index of folded words, and which texts it lacks or has as they were before."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    # Not unique: an insert into it never waits for another transaction, nor fails.
    op.execute("CREATE TABLE search_stale (id BIGINT NOT NULL)")
    op.execute("CREATE INDEX ix_search_stale_id ON search_stale (id)")
    if op.get_bind().dialect.name == "postgresql":
        for column in ("title", "tags", "text"):
            op.execute(f"""ALTER TABLE search_index
                ADD COLUMN {column} text COLLATE "C" NOT NULL DEFAULT ''""")
        op.execute("DROP FUNCTION IF EXISTS search_words CASCADE")
    else:
        op.execute("DROP TABLE search_vocabulary")
        op.execute("DROP TABLE search_index")
        # Folded words are divided at spaces alone: https://sqlite.org/fts5.html#ascii_tokenizer
        op.execute("""
            CREATE VIRTUAL TABLE search_index USING fts5 (
                title, tags, text, marks, tokenize = "ascii tokenchars '+#.'"
            )""")
        op.execute("CREATE VIRTUAL TABLE search_vocabulary USING fts5vocab (search_index, row)")
