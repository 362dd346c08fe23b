"""The page on which the messages of a conversation are read, once a reason was given."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from chat.models import Conversation, Role
from chat.models import User as Account
from console import contents
from console.changelist import login
from database import cells
from database.object_actions import ObjectAction
from database.paging import Page, Place


def contents_url(conversation_id: str) -> str:
    return reverse("contents", args=(quote(conversation_id),))


def offer_contents(request: HttpRequest, conversation: Conversation) -> list[ObjectAction]:
    """The way from the form of a conversation. A source for `database.object_actions`."""
    if not request.user.has_perm(contents.RIGHT):
        return []
    return [ObjectAction(gettext("Show contents"), contents_url(str(conversation.pk)))]


@require_http_methods(["GET", "HEAD", "POST"])
def contents_page(request: HttpRequest, conversation_id: str) -> HttpResponse:
    """GET asks for a reason, or shows the messages where one was given; POST gives it. Two queries to OmniChat."""
    if not request.user.has_perms(["chat.view_conversation", contents.RIGHT]):
        raise PermissionDenied
    conversation = _conversation(unquote(conversation_id).replace("\0", ""))
    refusal = ""
    if request.method == "POST":
        try:
            reason = request.POST.get("reason", "")
            contents.open_for_a_while(request.session, conversation, by=login(request), reason=reason)
            return HttpResponseRedirect(request.path)
        except contents.ReasonRefused as refused:
            refusal = str(refused)
    if not contents.is_open(request.session, str(conversation.pk), by=login(request)):
        return _page(request, conversation, refusal=refusal, status=400 if refusal else 200)
    page = contents.page_of(str(conversation.pk), Place.decode(request.GET.get("after", "")))
    return _page(request, conversation, is_open=True, messages_of=[_shown(each) for each in page.rows], **_ways(page))


def _conversation(key: str) -> Conversation:
    found = Conversation.objects.filter(pk=key).only("pk", "title", "user_id").first()
    if found is None:
        raise Http404(gettext("There is no such conversation."))
    return found


def _shown(message: Any) -> dict[str, Any]:
    words = message.words if isinstance(message.words, str) else str(message.words or "")
    return {
        "author": cells.state(Role.values)(message.role),
        "at": cells.moment(message.created_at),
        "url": cells.row_url(type(message), message.pk),
        "words": words,
        "cut": (message.length or 0) > contents.CHARACTERS,
    }


def _ways(page: Page) -> dict[str, Any]:
    last = page.place(-1)
    return {"later": last.encode() if last and page.later else "", "earlier": page.earlier}


def _page(request: HttpRequest, conversation: Conversation, status: int = 200, **more: Any) -> HttpResponse:
    key = str(conversation.pk)
    context = {
        **admin.site.each_context(request),
        "title": gettext("Contents"),
        "conversation": conversation,
        "heading": conversation.title or gettext("(no title)"),
        "back": cells.row_url(Conversation, key),
        "owner": cells.row_link(Account, conversation.user_id, conversation.user_id),
        "minutes": contents.OPEN_FOR.seconds // 60,
        "shortest": contents.SHORTEST,
        "longest": contents.LONGEST,
        "characters": f"{contents.CHARACTERS:,}",
        **more,
    }
    return TemplateResponse(request, "admin/console/contents.html", context, status=status)
