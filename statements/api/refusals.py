"""How the API says no: one JSON object, with the reference that finds the request in the log."""

from dataclasses import dataclass, field

from django.http import JsonResponse

from billing import incidents

DOCUMENTED = "The address /api/v1/ names what there is; the user guide has a page on it."


def body(heading: str, said: str, then: str, **more: str) -> dict[str, str]:
    """Return what every error of the program says as JSON."""
    return {"error": heading, "detail": said, "next": then, "reference": incidents.reference()} | more


@dataclass
class Refused(Exception):
    """A request that the API does not answer, and why."""

    status: int
    heading: str
    said: str
    then: str
    headers: dict[str, str] = field(default_factory=dict)
    # The one that is wrong, of a request with a wrong parameter.
    parameter: str = ""

    def response(self) -> JsonResponse:
        more = {"parameter": self.parameter} if self.parameter else {}
        return JsonResponse(body(self.heading, self.said, self.then, **more), status=self.status, headers=self.headers)


def wrong_parameter(name: str, said: str) -> Refused:
    """Say which parameter is wrong, and what it may be."""
    return Refused(400, "Wrong parameter", f"{name}: {said}", "Correct the parameter, or leave it out.", parameter=name)


def not_found() -> Refused:
    return Refused(404, "Not found", "There is no such thing, or this token does not see it.", DOCUMENTED)


def wrong_method() -> Refused:
    said = "The API is read only: it answers to GET and HEAD."
    return Refused(405, "Not allowed", said, "Ask with GET.", headers={"Allow": "GET, HEAD"})


def not_secure() -> Refused:
    said = "The API is reached over https alone. If a token was sent over http, others may have read it."
    return Refused(403, "Not over http", said, "Revoke that token, make another one, and ask over https.")


def no_token(said: str) -> Refused:
    challenge = {"WWW-Authenticate": 'Bearer realm="OpenChargeback"'}
    then = "Make a token in the portal, under your name at the top right, or ask an administrator for one."
    return Refused(401, "No valid token", said, then, headers=challenge)


def too_many(said: str, *, seconds: int) -> Refused:
    then = f"Ask again in {seconds} seconds, as the header Retry-After says."
    return Refused(429, "Too many requests", said, then, headers={"Retry-After": str(seconds)})
