"""The tables, each with its methods and queries. Importing this completes the metadata."""

from blog.models.base import Base as Base
from blog.models.change import Change as Change
from blog.models.comment import Comment as Comment
from blog.models.entry import Entry as Entry
from blog.models.imported import Imported as Imported
from blog.models.month import Month as Month
from blog.models.redirect import Redirect as Redirect
from blog.models.rendering import Rendering as Rendering
from blog.models.series import Series as Series
from blog.models.site import Site as Site
from blog.models.spam_word import SpamWord as SpamWord
from blog.models.tag import Tag as Tag
