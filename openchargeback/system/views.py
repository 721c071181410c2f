"""The system page, for whoever looks after users and the installation."""

from django.contrib import admin
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from .components import as_cyclonedx, packages
from .gathering import gather

# Addresses, folders and versions are for who runs the installation: those who manage its users.
PERMISSION = "billing.view_user"


@require_safe
@permission_required(PERMISSION, raise_exception=True)
def show(request: HttpRequest) -> HttpResponse:
    """Show what this installation is made of, and whether all of it works."""
    groups = gather(now=timezone.now())
    facts = [fact for group in groups for fact in group.facts]
    context = {
        "title": "System",
        "groups": groups,
        "packages": packages(),
        "broken": [fact for fact in facts if fact.state == "bad"],
        "doubtful": [fact for fact in facts if fact.state == "warn"],
    }
    return render(request, "admin/system.html", {**admin.site.each_context(request), **context})


@require_safe
@permission_required(PERMISSION, raise_exception=True)
def sbom(request: HttpRequest) -> JsonResponse:
    """Hand out the list of packages as a CycloneDX file."""
    answer = JsonResponse(as_cyclonedx(packages()), json_dumps_params={"indent": 2})
    answer.headers["Content-Disposition"] = 'attachment; filename="sbom.json"'
    return answer
