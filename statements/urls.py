"""The addresses of the PI portal."""

from django.urls import path

from . import views

app_name = "portal"

urlpatterns = [
    path("statements/", views.statements, name="statements"),
    path("statements/<str:number>/", views.statement, name="statement"),
    path("statements/<str:number>.pdf", views.pdf, name="pdf"),
    path("statements/<str:number>.csv", views.as_csv, name="csv"),
    path("statements/<str:number>.xlsx", views.as_xlsx, name="xlsx"),
    path("statements/<str:number>/charges.csv", views.charges_csv, name="charges"),
    path("statements/<str:number>/lines/<int:line>/", views.line, name="line"),
    path("projects/", views.projects, name="projects"),
    path("projects/<int:pk>/", views.project, name="project"),
]
