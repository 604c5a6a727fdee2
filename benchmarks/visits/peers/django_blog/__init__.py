"""Django, with its ORM, and Jinja2 as its template engine: its own are slower.

https://docs.djangoproject.com/en/5.2/intro/tutorial02/ and tutorial03,
https://docs.djangoproject.com/en/5.2/topics/templates/#django.template.backends.jinja2.Jinja2
"""

from typing import TYPE_CHECKING

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from sqlalchemy import make_url

from benchmarks.visits.corpus import SECRET
from benchmarks.visits.peers import appearance
from blog.config import Config

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def application(config: Config) -> "WSGIApplication":
    """Make the application. Django allows one per process."""
    settings.configure(
        SECRET_KEY=SECRET,
        ALLOWED_HOSTS=["127.0.0.1", "localhost"],
        INSTALLED_APPS=[__name__],
        ROOT_URLCONF=f"{__name__}.views",
        # Those of `django-admin startproject`, without sessions and log-in.
        MIDDLEWARE=[
            "django.middleware.security.SecurityMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.middleware.clickjacking.XFrameOptionsMiddleware",
        ],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": make_url(config.database).database,
                # Otherwise a connection would be opened for each request.
                "CONN_MAX_AGE": None,
            }
        },
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.jinja2.Jinja2",
                "DIRS": appearance.FOLDERS,
                "OPTIONS": {
                    "environment": f"{__name__}.views.environment",
                    "context_processors": [f"{__name__}.views.context"],
                },
            }
        ],
        USE_TZ=True,
        PEER=config,
    )
    django.setup()
    handler: WSGIApplication = get_wsgi_application()
    return handler
