"""From a request to JSON: who asks by which token, how often, and what is refused."""

import functools
import logging
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.cache import get_conditional_response, set_response_etag
from django.views.decorators.csrf import csrf_exempt

from billing import api_tokens
from billing.models import ApiToken
from billing.moments import one_moment

from ... import issuing
from .. import refusals

log = logging.getLogger(__name__)

Asked = Callable[..., dict[str, Any]]


def answering(read: Asked) -> Callable[..., HttpResponse]:
    """Answer an address with the JSON that `read(request, token)` returns; only a token counts, never a session.

    Nothing here changes anything for whoever asks, so a form's token would protect nothing (CSRF).
    """

    @csrf_exempt
    @functools.wraps(read)
    def answer(request: HttpRequest, **named: str) -> HttpResponse:
        try:
            response: HttpResponse = JsonResponse(_read(request, read, named))
        except refusals.Refused as refused:
            response = refused.response()
        else:
            set_response_etag(response)
            response = get_conditional_response(request, response["ETag"], None, response) or response
        response["Cache-Control"] = "no-store"
        return response

    return answer


def _read(request: HttpRequest, read: Asked, named: dict[str, str]) -> dict[str, Any]:
    if request.method not in ("GET", "HEAD"):
        raise refusals.wrong_method()
    if settings.SECURE_SSL_REDIRECT and not request.is_secure():
        raise refusals.not_secure()
    token = _token_of(request)
    try:
        with one_moment():
            return read(request, token, **named)
    except Http404 as error:
        raise refusals.not_found() from error
    except issuing.ChargesLost as error:
        log.error("%s", error)
        raise refusals.Refused(
            500, "Something broke", "The charges of a statement cannot be read.", "Give an administrator the reference."
        ) from error


def _token_of(request: HttpRequest) -> ApiToken:
    try:
        return api_tokens.token_of(request.headers.get("Authorization", ""), now=timezone.now())
    except api_tokens.TokenRefused as error:
        raise refusals.no_token(str(error)) from error
    except api_tokens.TooManyRequests as error:
        raise refusals.too_many(str(error), seconds=error.seconds) from error


@csrf_exempt
def nowhere(request: HttpRequest, **named: str) -> HttpResponse:
    """Answer every other address below /api/, whatever is sent to it."""
    response = refusals.not_found().response()
    response["Cache-Control"] = "no-store"
    return response
