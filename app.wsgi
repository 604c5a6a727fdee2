"""The WSGI script for mod_wsgi. It reads the settings file that THREADLEAF_CONFIG names in the
environment, or else threadleaf.toml beside this file."""

import os
from pathlib import Path

from blog.application import create_app
from blog.config import FILE_VARIABLE, Config
from blog.http.proxies import BehindProxy
from blog.mod_wsgi import StartingBlog
from blog.operations.logs import log_to_stderr

settings = Path(os.environ.get(FILE_VARIABLE, Path(__file__).with_name("threadleaf.toml")))
# Apache adds the time.
log_to_stderr("%(levelname)s %(name)s: %(message)s")
application = BehindProxy(
    StartingBlog(lambda: create_app(Config.load(settings))),
    trusted_proxy="",
    remedy="Load mod_remoteip; set RemoteIPHeader X-Forwarded-For, RemoteIPInternalProxy {peer}.",
)
