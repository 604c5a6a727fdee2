"""The tables that the two pages need."""

from typing import Any, ClassVar

from django.db import models
from django.utils import timezone
from markupsafe import Markup


class Tag(models.Model):
    name = models.TextField()
    slug = models.TextField()

    class Meta:
        managed, db_table = False, "tag"
        ordering: ClassVar = ["name"]


class Entry(models.Model):
    title = models.TextField()
    body = models.TextField()
    timestamp = models.DateTimeField()
    updated = models.DateTimeField()
    featured = models.BooleanField()
    slug = models.TextField()
    state = models.TextField()
    kind = models.TextField()
    comments_open = models.BooleanField()
    author = models.TextField(null=True)
    tagged = models.ManyToManyField(Tag, through="EntryTag")

    class Meta:
        managed, db_table = False, "entry"

    @classmethod
    def visible(cls, kind: str) -> Any:
        """The entries of a kind that readers see."""
        return cls.objects.filter(kind=kind, state="published", timestamp__lte=timezone.now())

    @classmethod
    def published(cls) -> Any:
        """The entries that readers see, the newest first."""
        return cls.visible("entry").order_by("-timestamp", "-id")

    @property
    def tags(self) -> Any:
        return self.tagged.all()

    @property
    def teaser(self) -> Markup:
        return Markup(self.shown.teaser)  # noqa: S704 - the blog's cleaner made it

    @property
    def minutes(self) -> int:
        minutes: int = self.shown.minutes
        return minutes


class EntryTag(models.Model):
    entry = models.ForeignKey(Entry, models.CASCADE)
    tag = models.ForeignKey(Tag, models.CASCADE)
    pk = models.CompositePrimaryKey("entry_id", "tag_id")

    class Meta:
        managed, db_table = False, "entry_tag"


class Rendering(models.Model):
    entry = models.OneToOneField(Entry, models.CASCADE, primary_key=True, related_name="shown")
    minutes = models.IntegerField()
    teaser = models.TextField()
    description = models.TextField()
    html = models.TextField()

    class Meta:
        managed, db_table = False, "rendering"

    @property
    def safe_html(self) -> Markup:
        return Markup(self.html)  # noqa: S704 - the blog's cleaner made it


class Comment(models.Model):
    entry = models.ForeignKey(Entry, models.CASCADE, related_name="comments")
    text = models.TextField()
    name = models.TextField(null=True)
    created = models.DateTimeField()
    state = models.TextField()
    format = models.TextField()
    parent_id = models.IntegerField(null=True)
    website = models.TextField(null=True)

    class Meta:
        managed, db_table = False, "comment"

    @property
    def author(self) -> str:
        return self.name or "Anonymous"
