"""The admin site: navigation by task, with the dashboard as its index."""

from django.contrib.admin import AdminSite


class OpenChargebackAdminSite(AdminSite):
    site_header = "OpenChargeback"
    site_title = "OpenChargeback"
    index_title = "Dashboard"
