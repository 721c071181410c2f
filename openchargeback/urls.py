"""Where each address leads: the admin for staff, the portal for PIs, one sign-in for both."""

from django.contrib import admin
from django.contrib.auth import views as auth_views
from django.urls import include, path

from . import views

urlpatterns = [
    path("", views.home, name="home"),
    # Before the admin's own addresses, so that passwords are asked for and changed in one place.
    path("admin/login/", views.admin_login),
    path("admin/password_change/", auth_views.PasswordChangeView.as_view()),
    path("admin/", admin.site.urls),
    path("accounts/", include("django.contrib.auth.urls")),
    path("", include("statements.urls")),
]
