"""The portal's pages on which people make tokens for their programs, and revoke them."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from billing import api_tokens
from billing.audit import Actor
from billing.errors import BillingError
from billing.models import ApiToken, User

from ..forms import TokenForm


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


@login_required
@require_safe
def tokens(request: HttpRequest) -> HttpResponse:
    """List a person's own tokens: those that work first."""
    today = timezone.localdate()
    every = list(ApiToken.objects.filter(owner=_user(request)))
    return render(
        request,
        "portal/tokens.html",
        {
            "working": [each for each in every if each.is_in_force(today)],
            "ended": [each for each in every if not each.is_in_force(today)],
        },
    )


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def make(request: HttpRequest) -> HttpResponse:
    """Ask what a token is for and how long it lasts; make it, and show its secret this once."""
    today = timezone.localdate()
    form = TokenForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        user, said = _user(request), form.cleaned_data
        token = ApiToken(owner=user, name=said["name"], valid_until=form.last_day(today))
        try:
            secret = api_tokens.make(token=token, actor=Actor.from_user(user), now=timezone.now())
        except BillingError as error:
            form.add_error(None, str(error))
        else:
            # Shown and not led on to: nothing keeps the secret until another page is asked for.
            return render(request, "portal/token_made.html", {"token": token, "secret": secret})
    return render(request, "portal/token_make.html", {"form": form})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask, and then revoke a token of one's own; somebody else's is not found."""
    token = get_object_or_404(ApiToken, owner=_user(request), pk=pk)
    if token.revoked_at is not None:
        messages.info(request, f"The token “{token.name}” was revoked before.")
        return redirect("api:tokens")
    if request.method == "POST":
        try:
            api_tokens.revoke(token=token, actor=Actor.from_user(_user(request)), now=timezone.now())
        except api_tokens.AlreadyRevoked as error:
            messages.info(request, str(error))
        else:
            messages.success(request, f"The token “{token.name}” was revoked. Programs that use it are refused now.")
        return redirect("api:tokens")
    return render(request, "portal/token_revoke.html", {"token": token})
