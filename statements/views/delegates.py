"""Delegates: whom a PI has named, whom the reader acts for, and the pages on which a PI changes that."""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from billing.audit import Actor
from billing.models import Membership, Person, Project, User
from billing.setup import delegates as engine
from billing.setup.delegates import NotNamed

from .visible import scope

SEE, ACT = "see", "act"
MAY = ((SEE, "See only"), (ACT, "See, ask questions and propose changes"))


class ChangeForm(forms.Form):
    """What a delegate may do, and whether they get copies."""

    may = forms.ChoiceField(label="What they may do", choices=MAY)
    copies = forms.BooleanField(label="They get copies of the e-mails with statements", required=False)

    @property
    def options(self) -> dict[str, bool]:
        return {"may_act": self.cleaned_data["may"] == ACT, "receives_statements": self.cleaned_data["copies"]}


class ProjectField(forms.ModelChoiceField):
    def label_from_instance(self, obj: Any) -> str:
        return f"{obj.name} ({obj.code})" if obj.name else str(obj.code)


class NameForm(ChangeForm):
    """Whom a PI names, and for what."""

    pi = forms.ModelChoiceField(Person.objects.none(), label="On behalf of", empty_label=None)
    who = forms.CharField(
        label="E-mail address or user name", max_length=254, help_text="Somebody who has an account here."
    )
    project = ProjectField(
        Project.objects.none(), label="What they see", required=False, empty_label="All your projects"
    )
    field_order = ("pi", "who", "project", "may", "copies")

    def __init__(self, *args: Any, pis: "QuerySet[Person]", **options: Any) -> None:
        super().__init__(*args, **options)
        self.pis = list(pis)
        people, projects = self.fields["pi"], self.fields["project"]
        assert isinstance(people, forms.ModelChoiceField)
        assert isinstance(projects, forms.ModelChoiceField)
        people.queryset = pis
        projects.queryset = Project.objects.filter(
            pk__in={project.pk for pi in self.pis for project in engine.projects_of(pi)}
        ).order_by("code")
        if len(self.pis) == 1:
            del self.fields["pi"]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        pi = data.get("pi") or self.pis[0]
        project = data.get("project")
        if project and not engine.projects_of(pi).filter(pk=project.pk).exists():
            self.add_error("project", "This is a project of another PI.")
        return data | {"pi": pi}


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def delegates(request: HttpRequest) -> HttpResponse:
    """Show who acts for the reader and for whom the reader acts; let a PI name somebody."""
    user = request.user
    assert isinstance(user, User)
    today = timezone.localdate()
    own = Person.objects.filter(pk__in=scope(request).own).order_by("name", "email")
    form = NameForm(request.POST or None, pis=own, initial={"may": SEE}) if own else None
    if request.method == "POST":
        if form is None:
            raise Http404("Only a PI names delegates.")
        if form.is_valid():
            data = form.cleaned_data
            try:
                made = engine.name_delegate(
                    pi=data["pi"],
                    who=data["who"],
                    project=data["project"],
                    **form.options,
                    actor=Actor.from_user(user),
                    now=timezone.now(),
                )
            except NotNamed as error:
                form.add_error("who", str(error))
            else:
                messages.success(request, f"{_called(made.user)} is your delegate from today.")
                return redirect("portal:delegates")
    named = Membership.objects.exclude(valid_until__lt=today).select_related("user", "person", "project")
    context = {
        "form": form,
        "theirs": named.filter(person__in=own).order_by("user__last_name", "user__username", "pk"),
        "acted_for": named.filter(user=user, valid_from__lte=today).order_by("person__name", "person__email", "pk"),
        "several": len(own) > 1,
        "today": today,
    }
    return render(request, "portal/delegates.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def delegate(request: HttpRequest, pk: int) -> HttpResponse:
    """Let a PI change what a delegate may do."""
    held = _one_of(request, pk)
    may = ACT if held.may_act else SEE
    form = ChangeForm(request.POST or None, initial={"may": may, "copies": held.receives_statements})
    if request.method == "POST" and form.is_valid():
        assert isinstance(request.user, User)
        engine.change_delegate(membership=held, **form.options, actor=Actor.from_user(request.user), now=timezone.now())
        messages.success(request, f"What {_called(held.user)} may do is saved.")
        return redirect("portal:delegates")
    return render(request, "portal/delegate.html", {"form": form, "held": held})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def remove(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask a PI whether a delegate is to be removed, and remove them."""
    held = _one_of(request, pk)
    if request.method == "POST":
        assert isinstance(request.user, User)
        engine.remove_delegate(membership=held, actor=Actor.from_user(request.user), now=timezone.now())
        messages.success(
            request, f"{_called(held.user)} is not your delegate any more, and sees none of your statements."
        )
        return redirect("portal:delegates")
    return render(request, "portal/remove_delegate.html", {"held": held})


def _one_of(request: HttpRequest, pk: int) -> Membership:
    """Return a delegate of the reader as a PI; anybody else's is not found."""
    held = Membership.objects.filter(person__in=scope(request).own).exclude(valid_until__lt=timezone.localdate())
    return get_object_or_404(held.select_related("user", "person", "project"), pk=pk)


def _called(user: User) -> str:
    return user.get_full_name() or user.email or user.get_username()
