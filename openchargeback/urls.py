"""Where each address leads: the admin for staff, the portal for PIs."""

from django.contrib import admin
from django.urls import path

urlpatterns = [
    path("admin/", admin.site.urls),
]
