"""The front door: home, signing in by password or at the institution, and setting passwords."""

from typing import Any

from django.conf import settings
from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_safe

from billing.audit import Actor
from billing.setup import passwords

from . import openid, sign_ins, single_sign_on
from .password_rules import ChangedPasswordForm, NewPasswordForm, SignInForm

# In a session: where somebody wanted to go who was sent to the institution to sign in.
NEXT = "sign_in_next"


def product_version(request: HttpRequest) -> dict[str, str]:
    """Tell every template the program's version; pages show it to whoever is signed in."""
    return {"product_version": settings.VERSION}


@login_required
def home(request: HttpRequest) -> HttpResponse:
    """Lead staff to the dashboard, and everybody else to the first page of the portal."""
    return redirect("admin:index" if request.user.is_staff else "portal:home")


def admin_login(request: HttpRequest) -> HttpResponse:
    """Lead to the one sign-in page; somebody signed in without the admin's rights goes home."""
    if request.user.is_authenticated:
        return redirect("home")
    return redirect_to_login(request.GET.get("next") or reverse("home"), reverse("login"))


class LoginView(auth_views.LoginView):
    """Ask for a password, and offer the institution's sign-in where there is one."""

    authentication_form = SignInForm

    def get_context_data(self, **kwargs: object) -> dict[str, Any]:
        return super().get_context_data(
            **kwargs,
            institution=settings.OIDC_NAME if openid.is_on() else "",
            told=getattr(self.request, "told_by_proxy", None),
        )


@require_safe
def oidc_start(request: HttpRequest) -> HttpResponse:
    """Lead to the institution's sign-in."""
    if not openid.is_on():
        raise Http404("Single sign-on by OpenID Connect is off.")
    try:
        answer = openid.lead_there(request)
    except openid.NotVouched as error:
        return render(request, "registration/refused.html", {"why": str(error)}, status=502)
    wanted = request.GET.get("next", "")
    if url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure()):
        request.session[NEXT] = wanted
    return answer


@require_safe
def oidc_callback(request: HttpRequest) -> HttpResponse:
    """Take the institution's answer, and let in whom it vouches for and we know."""
    if not openid.is_on():
        raise Http404("Single sign-on by OpenID Connect is off.")
    wanted = request.session.pop(NEXT, "")
    told = single_sign_on.Identity(name="", email="", door="oidc")
    try:
        told = openid.identity_from(request)
        sign_ins.sign_in_as_told(request, told)
    except (openid.NotVouched, single_sign_on.Refused) as error:
        return sign_ins.refused(request, told, error)
    return HttpResponseRedirect(wanted or reverse("home"))


class PasswordResetView(auth_views.PasswordResetView):
    """Have a link sent; the answer is the same whether an account has the address or not."""

    def form_valid(self, form: Form) -> HttpResponse:
        address = self.request.META.get("REMOTE_ADDR", "")
        try:
            passwords.ask_for_link(
                email=form.cleaned_data["email"],
                address=address,
                actor=Actor(name="nobody", via="web"),
                now=timezone.now(),
            )
        except passwords.TooManyAsked as error:
            return render(self.request, "registration/refused.html", {"why": str(error)}, status=429)
        return HttpResponseRedirect(self.get_success_url())


class PasswordResetConfirmView(auth_views.PasswordResetConfirmView):
    form_class = NewPasswordForm
    token_generator = passwords.link_tokens

    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        passwords.password_was_set(user=form.user, actor=Actor.from_user(form.user), now=timezone.now())
        return response


class PasswordChangeView(auth_views.PasswordChangeView):
    form_class = ChangedPasswordForm

    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        passwords.password_was_set(user=form.user, actor=Actor.from_user(form.user), now=timezone.now())
        return response
