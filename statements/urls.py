"""The addresses of the PI portal."""

from django.urls import path

from .views import projects, statements

app_name = "portal"

urlpatterns = [
    path("statements/", statements.statements, name="statements"),
    path("statements/<str:number>/", statements.statement, name="statement"),
    path("statements/<str:number>.pdf", statements.pdf, name="pdf"),
    path("statements/<str:number>.csv", statements.as_csv, name="csv"),
    path("statements/<str:number>.xlsx", statements.as_xlsx, name="xlsx"),
    path("statements/<str:number>/charges.csv", statements.charges_csv, name="charges"),
    path("statements/<str:number>/lines/<int:line>/", statements.line, name="line"),
    path("projects/", projects.projects, name="projects"),
    path("projects/<int:pk>/", projects.project, name="project"),
]
