"""The pages of the help, in the frame of whoever reads them: the admin's for staff, the portal's for PIs."""

from django.contrib import admin
from django.contrib.auth.decorators import login_required
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from . import pages


@login_required
@require_safe
def show(request: HttpRequest, slug: str = "") -> HttpResponse:
    """Show a page of the help; with `?q=` what is found. Staff may read all pages, PIs and delegates their own."""
    is_staff = admin.site.has_permission(request)
    start = pages.INDEX if is_staff else pages.PORTAL
    page = pages.page(slug.rstrip("/") or start, is_staff=is_staff)
    if page is None:
        raise Http404("There is no such page of the help.")
    words = request.GET.get("q", "").strip()[:200]
    context = {
        "title": f"Help: {page.title}" if slug else "Help",
        "page": page,
        "pages": pages.contents(is_staff=is_staff),
        "words": words,
        "found": pages.search(words, is_staff=is_staff),
    }
    if not is_staff:
        return render(request, "help/portal.html", context)
    return render(request, "help/staff.html", {**admin.site.each_context(request), **context})


@login_required
@require_safe
def image(request: HttpRequest, name: str) -> FileResponse:
    """Hand out an image of the documentation."""
    found = pages.image(name)
    if found is None:
        raise Http404("There is no such image.")
    path, kind = found
    return FileResponse(path.open("rb"), content_type=kind)
