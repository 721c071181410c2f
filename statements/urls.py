"""The addresses of the PI portal."""

from django.urls import path

from .questions import views as questions
from .views import delegates, downloads, funds, home, projects, statements, trends

app_name = "portal"

urlpatterns = [
    path("portal/", home.home, name="home"),
    path("statements/", statements.statements, name="statements"),
    path("statements/<str:number>/", statements.statement, name="statement"),
    path("statements/<str:number>.pdf", statements.pdf, name="pdf"),
    path("statements/<str:number>.csv", statements.as_csv, name="csv"),
    path("statements/<str:number>.xlsx", statements.as_xlsx, name="xlsx"),
    path("statements/<str:number>/charges.csv", statements.charges_csv, name="charges"),
    path("statements/<str:number>/lines/<int:line>/", statements.line, name="line"),
    path("projects/", projects.projects, name="projects"),
    path("projects/<int:pk>/", projects.project, name="project"),
    path("trends/", trends.trends, name="trends"),
    path("funds/", funds.funds, name="funds"),
    path("downloads/", downloads.downloads, name="downloads"),
    path("downloads/<int:pk>/", downloads.collected, name="collected"),
    path("downloads/<int:pk>.xlsx", downloads.collected_file, name="collected_file"),
    path("delegates/", delegates.delegates, name="delegates"),
    path("delegates/<int:pk>/", delegates.delegate, name="delegate"),
    path("delegates/<int:pk>/remove/", delegates.remove, name="remove_delegate"),
    path("statements/<str:number>/lines/<int:line>/ask/", questions.ask, name="ask"),
    path("projects/<int:pk>/propose/", questions.propose, name="propose"),
    path("questions/", questions.question_list, name="questions"),
    path("questions/<int:pk>/", questions.question, name="question"),
    path("questions/<int:pk>/withdraw/", questions.withdraw, name="withdraw"),
]
