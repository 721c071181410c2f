"""The front door, and pages for what goes wrong."""

from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse


@login_required
def home(request: HttpRequest) -> HttpResponse:
    """Lead staff to the dashboard, and everybody else to their statements."""
    return redirect("admin:index" if request.user.is_staff else "portal:statements")


def admin_login(request: HttpRequest) -> HttpResponse:
    """Lead to the one sign-in page; somebody signed in without the admin's rights goes home."""
    if request.user.is_authenticated:
        return redirect("home")
    return redirect_to_login(request.GET.get("next") or reverse("home"), reverse("login"))
