"""The third answer: FastAPI with `SessionLocal` and `connect_args`.

FastAPI runs plain functions in its own threads, and the parts of one request in different ones: a
session is opened in one thread, used in another and closed in a third.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.templating import Jinja2Templates
from sqlalchemy import Pool, create_engine, desc
from sqlalchemy.orm import Session, sessionmaker

from examples.models import DATABASE, Comment, Entry, create_tables
from pool import ThreadLocalPool

templates = Jinja2Templates(Path(__file__).with_name("templates"))


def create_app(database: str = DATABASE, poolclass: type[Pool] = ThreadLocalPool) -> FastAPI:
    """Return the application.

    :param database: the URL of an SQLite file.
    :param poolclass: the pool's class.
    """
    app = FastAPI()
    engine = create_engine(database, connect_args={"check_same_thread": False}, poolclass=poolclass)
    create_tables(engine)
    SessionLocal = sessionmaker(autoflush=False, bind=engine)  # noqa: N806 - the answer's own name

    def get_db() -> Iterator[Session]:
        db = SessionLocal()
        try:
            yield db
        finally:
            db.close()

    @app.get("/blog")
    @app.get("/blog.html")
    def blog(request: Request, db: Annotated[Session, Depends(get_db)]) -> HTMLResponse:
        entrys = db.query(Entry).order_by(desc(Entry.timestamp)).all()
        return templates.TemplateResponse(request, "blog.html", {"blog_entrys": entrys})

    @app.post("/blog/{entry_id}/comments")
    def comment(
        entry_id: int,
        text: Annotated[str, Form()],
        name: Annotated[str, Form()],
        db: Annotated[Session, Depends(get_db)],
    ) -> RedirectResponse:
        if db.get(Entry, entry_id) is None:
            raise HTTPException(404)
        db.add(Comment(entry_id=entry_id, text=text, name=name))
        db.commit()
        return RedirectResponse("/blog", 303)

    return app
