"""Buttons on the page of an object, each with a page that asks first and then calls one engine verb."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from .. import doors
from ..errors import BillingError
from ..models import BillingPeriod, Job
from . import walk
from .links import change_url, list_url

# The button of a form that asks what it would do, and has nothing done; `facts` finds it in the request.
SHOW = "_show"


@dataclass(frozen=True)
class Missing:
    """Something that has to be done before a verb, and the page to do it on."""

    text: str
    url: str = ""


@dataclass(frozen=True)
class Verb:
    """A button on an object's page: asks on a page of its own, then calls one engine function.

    `run(request, subject, data)` gets the cleaned data of `form` and returns what to tell the person.
    A BillingError it raises is shown there and nothing happens.
    """

    name: str
    label: str
    permission: str
    # Returns what to tell the person, or the job that does it in the background.
    run: Callable[[HttpRequest, Any, dict[str, Any]], str | Job]
    question: str | Callable[[Any], str] = ""
    button: str = ""
    form: type[forms.Form] | Callable[..., forms.Form] = forms.Form
    # What the form is made with for the object, beside what it proposes.
    form_for: Callable[[Any], dict[str, Any]] | None = None
    # What the form proposes for the object.
    initial: Callable[[Any], dict[str, Any]] | None = None
    offered: Callable[[Any], bool] = lambda subject: True
    # Whether the head of the page has its button; else a part of the page that knows more leads to it.
    is_in_head: bool = True
    missing: Callable[[Any], Sequence[Any]] | None = None
    # A template that shows more of the object (`original`) below the question, and what it needs beside that.
    details: str = ""
    facts: Callable[[HttpRequest, Any, forms.Form], dict[str, Any]] | None = None
    is_dangerous: bool = False
    is_primary: bool = False
    # Whether the object is gone once it is done.
    removes: bool = False

    def question_for(self, subject: object) -> str:
        return self.question(subject) if callable(self.question) else self.question


class VerbsMixin(admin.ModelAdmin):
    """Buttons on the page of an object, each with a confirmation page that posts to one verb.

    `form_view` is the same for a verb that belongs to no object.
    """

    verbs: tuple[Verb, ...] = ()
    verb_template = "admin/verb.html"

    def get_urls(self) -> list[URLPattern]:
        meta = self.opts
        own = [
            path(
                f"<path:object_id>/{verb.name}/",
                self.admin_site.admin_view(self._view_of(verb)),
                name=f"{meta.app_label}_{meta.model_name}_{verb.name}",
            )
            for verb in self.verbs
        ]
        return own + super().get_urls()

    def _view_of(self, verb: Verb) -> Callable[..., HttpResponse]:
        def view(request: HttpRequest, object_id: str) -> HttpResponse:
            return self.verb_view(request, object_id, verb)

        return view

    def verb_url(self, verb: Verb, subject: models.Model) -> str:
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_{verb.name}"
        return reverse(name, args=[quote(subject.pk)])

    def in_list(self, request: HttpRequest, url: str) -> str:
        """Return an address that keeps the way back to the list as it was narrowed."""
        preserved = self.get_preserved_filters(request)
        return f"{url}?{preserved}" if preserved else url

    def buttons(self, request: HttpRequest, subject: Any) -> list[dict[str, Any]]:
        """Return the verbs this person may use on this object in its present state."""
        return [
            {
                "label": verb.label,
                "url": self.in_list(request, self.verb_url(verb, subject)),
                "is_dangerous": verb.is_dangerous,
                "is_primary": verb.is_primary,
            }
            for verb in self.verbs
            if verb.is_in_head and request.user.has_perm(verb.permission) and verb.offered(subject)
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        subject = self.get_object(request, unquote(object_id)) if self.verbs else None
        context = {"buttons": self.buttons(request, subject) if subject else [], **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)

    def told_of(self, subject: Any) -> str:
        """Say in a line what somebody decides about."""
        return str(subject)

    def verb_view(self, request: HttpRequest, object_id: str, verb: Verb) -> HttpResponse:
        subject = self.get_object(request, unquote(object_id))
        if subject is None:
            raise Http404(f"There is no such {self.opts.verbose_name}.")
        if not request.user.has_perm(verb.permission):
            raise PermissionDenied
        back = self.in_list(request, change_url(subject))
        period = subject if isinstance(subject, BillingPeriod) else getattr(subject, "period", None)
        leave = walk.left(request, period, otherwise=back) if isinstance(period, BillingPeriod) else back
        if not verb.offered(subject):
            what = verb.label.rstrip("…")
            messages.error(request, f"“{what}” is not possible for {subject} as it is now.")
            return HttpResponseRedirect(leave)
        proposed: dict[str, Any] = {"initial": verb.initial(subject)} if verb.initial else {}
        about = verb.form_for(subject) if verb.form_for else {}
        form = verb.form(request.POST, **about) if request.method == "POST" else verb.form(**proposed, **about)
        form.label_suffix = ""
        if request.method == "POST" and SHOW not in request.POST and form.is_valid():
            try:
                said = verb.run(request, subject, form.cleaned_data)
            except BillingError as error:
                messages.error(request, doors.for_page(error, request.user))
            except ValidationError as error:
                messages.error(request, " ".join(error.messages))
            else:
                if isinstance(said, Job):
                    messages.info(request, "This takes a while. This page shows how far it has come.")
                    at_work = change_url(said)
                    return HttpResponseRedirect(
                        walk.left(request, period, otherwise=at_work) if isinstance(period, BillingPeriod) else at_work
                    )
                messages.success(request, said)
                back = list_url(self.model) if verb.removes else back
                on = walk.after(request, period, otherwise=back) if isinstance(period, BillingPeriod) else back
                return HttpResponseRedirect(on)
        context = {
            **self.admin_site.each_context(request),
            "title": verb.label.rstrip("…"),
            "subtitle": self.told_of(subject),
            "opts": self.opts,
            "original": subject,
            "form": form,
            "question": verb.question_for(subject),
            "details": verb.details,
            **(verb.facts(request, subject, form) if verb.facts else {}),
            "missing": verb.missing(subject) if verb.missing else (),
            "button": verb.button or verb.label.rstrip("…"),
            "is_dangerous": verb.is_dangerous,
            "back": back,
            "leave": leave,
            "media": self.media + form.media,
        }
        return TemplateResponse(request, self.verb_template, context)

    def form_view(
        self,
        request: HttpRequest,
        *,
        permission: str,
        title: str,
        button: str,
        form_class: Callable[..., forms.Form],
        run: Callable[[dict[str, Any]], tuple[str, models.Model | None]],
        question: str = "",
        initial: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Ask for what a verb needs, on a page of its own that belongs to no object, and call it.

        `run(data)` returns what to tell the person and the object to show next (None: the list).
        """
        if not request.user.has_perm(permission):
            raise PermissionDenied
        back = list_url(self.model)
        form = form_class(request.POST, request.FILES) if request.method == "POST" else form_class(initial=initial)
        form.label_suffix = ""
        if request.method == "POST" and form.is_valid():
            try:
                said, subject = run(form.cleaned_data)
            except BillingError as error:
                form.add_error(None, doors.lines_for_page(error, request.user))
            except ValidationError as error:
                form.add_error(None, error)
            else:
                messages.success(request, said)
                return HttpResponseRedirect(change_url(subject) if subject else back)
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "form": form,
            "question": question,
            "button": button,
            "back": back,
            "media": self.media + form.media,
        }
        return TemplateResponse(request, self.verb_template, context)
