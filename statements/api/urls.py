"""The addresses of the API, and of the portal's pages for its tokens."""

from django.urls import path

from .views import answering, resources, tokens

app_name = "api"

urlpatterns = [
    path("tokens/", tokens.tokens, name="tokens"),
    path("tokens/make/", tokens.make, name="token_make"),
    path("tokens/<int:pk>/revoke/", tokens.revoke, name="token_revoke"),
    path("api/v1/", resources.index, name="index"),
    path("api/v1/statements", resources.statements, name="statements"),
    path("api/v1/statements/<str:number>", resources.statement, name="statement"),
    path("api/v1/lines", resources.lines, name="lines"),
    path("api/v1/charges", resources.charges, name="charges"),
    path("api/v1/usage", resources.usage, name="usage"),
    path("api", answering.nowhere),
    path("api/<path:rest>", answering.nowhere),
    path("api/", answering.nowhere),
]
