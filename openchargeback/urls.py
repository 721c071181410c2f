"""Where each address leads: the admin for staff, the portal for PIs, one sign-in for both."""

from django.contrib import admin
from django.urls import include, path

from . import views
from .help import views as help_views
from .system import views as system_views

handler400 = "openchargeback.errors.bad_request"
handler403 = "openchargeback.errors.forbidden"
handler404 = "openchargeback.errors.not_found"
handler500 = "openchargeback.errors.broke"

urlpatterns = [
    path("", views.home, name="home"),
    # Before the admin's own addresses, so that passwords are asked for and changed in one place.
    path("admin/login/", views.admin_login),
    path("admin/password_change/", views.PasswordChangeView.as_view()),
    path("admin/system/", admin.site.admin_view(system_views.show), name="system"),
    path("admin/system/sbom.json", admin.site.admin_view(system_views.sbom), name="system_sbom"),
    path("admin/", admin.site.urls),
    # Ours stand before those of Django that they extend.
    path("accounts/login/", views.LoginView.as_view(), name="login"),
    path("accounts/oidc/", views.oidc_start, name="oidc_start"),
    path("accounts/oidc/callback/", views.oidc_callback, name="oidc_callback"),
    path("accounts/password_change/", views.PasswordChangeView.as_view(), name="password_change"),
    path("accounts/password_reset/", views.PasswordResetView.as_view(), name="password_reset"),
    path("accounts/reset/<uidb64>/<token>/", views.PasswordResetConfirmView.as_view(), name="password_reset_confirm"),
    path("accounts/", include("django.contrib.auth.urls")),
    path("help/", help_views.show, name="help"),
    path("help/images/<str:name>", help_views.image, name="help_image"),
    path("help/<path:slug>/", help_views.show, name="help"),
    path("", include("statements.urls")),
    path("", include("statements.api.urls")),
]
