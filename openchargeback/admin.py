"""Takes the queue's own tables out of the admin: a person reads background jobs instead."""

from django.contrib import admin
from django_q import admin as queue_admin  # noqa: F401 (registers what is taken out here)
from django_q.models import Failure, OrmQ, Schedule, Success

for model in (Failure, OrmQ, Schedule, Success):
    if admin.site.is_registered(model):
        admin.site.unregister(model)
