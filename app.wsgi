"""What mod_wsgi loads. The settings come from the file that THREADLEAF_CONFIG names in the
environment, or else from threadleaf.toml beside this file."""

import os
from pathlib import Path

from blog.application import create_app
from blog.config import FILE_VARIABLE, Config

beside = Path(__file__).with_name("threadleaf.toml")
application = create_app(Config.load(Path(os.environ.get(FILE_VARIABLE, beside))))
