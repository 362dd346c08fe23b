"""What the forms of the notes on an account do. Each is a POST, and leads back to the account."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext
from django.views.decorators.http import require_POST

from chat.models import User
from console import notes
from console.account import account_url
from console.changelist import login
from console.models import Note
from database.router import CONSOLE


@require_POST
def add_note(request: HttpRequest, user_id: str) -> HttpResponse:
    """Keep a note on a user. One query to OmniChat's database: whether there is such a user."""
    key = unquote(user_id).replace("\0", "")
    if not request.user.has_perms(["chat.view_user", "console.add_note"]):
        raise PermissionDenied
    if not User.objects.filter(pk=key).exists():
        raise Http404(gettext("There is no such user."))
    try:
        notes.write(key, request.POST.get("text", ""), by=login(request), pinned="pinned" in request.POST)
        messages.success(request, gettext("The note was kept."))
    except notes.NoteRefused as refused:
        messages.error(request, str(refused))
    return redirect(account_url(key) + "#notes")


@require_POST
def change_note(request: HttpRequest, pk: int) -> HttpResponse:
    """`step` is save, pin, unpin or remove."""
    note = get_object_or_404(Note.objects.using(CONSOLE), pk=pk)
    step, by = request.POST.get("step"), login(request)
    try:
        if step == "save":
            notes.rewrite(note, request.POST.get("text", ""), by=by)
            messages.success(request, gettext("The note was changed."))
        elif step in ("pin", "unpin"):
            notes.pin(note, pinned=step == "pin", by=by)
        elif step == "remove":
            notes.remove(note, by=by)
            messages.success(request, gettext("The note was removed."))
    except notes.NoteRefused as refused:
        messages.error(request, str(refused))
    return redirect(account_url(note.user_id) + "#notes")
