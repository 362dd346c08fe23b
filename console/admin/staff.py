"""The admin of staff: their logins, their roles, and what they did that changed nothing in OmniChat's tables."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from allauth.account import admin as _account
from allauth.mfa import admin as _mfa
from allauth.socialaccount import admin as _socialaccount
from allauth.usersessions import admin as _usersessions
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.forms import ModelMultipleChoiceField
from django.http import HttpRequest, HttpResponse

from console.changelist import OwnFiltersMixin, ReadOnlyMixin, login
from console.models import StaffEvent
from console.signin import policy, sessions
from console.signin.fresh import require_fresh
from console.staff_event_export import EventExport
from database import cells

#: What decides what a person may do. Nobody sets these on their own login.
POWERS = ("is_active", "is_staff", "is_superuser", "groups")

admin.site.unregister((User, Group))
# What allauth registers would show secrets and let sessions be edited; one's own are under Security.
for _registered in (_account, _mfa, _socialaccount, _usersessions):
    _app = apps.get_containing_app_config(_registered.__name__)
    admin.site.unregister([model for model in (_app.get_models() if _app else ()) if admin.site.is_registered(model)])


class RolesField(ModelMultipleChoiceField):
    def clean(self, value: Any) -> Any:
        try:
            return super().clean(value)
        except OverflowError:  # SQLite has no integer as large as what was sent.
            raise ValidationError(self.error_messages["invalid_list"], code="invalid_list") from None


@admin.register(User)
class LoginAdmin(OwnFiltersMixin, UserAdmin):
    """Logins of staff. Rights come from roles alone, and a login is switched off, never deleted."""

    list_display = ("username", "email", "roles", "is_active", "is_superuser", "last_login")
    list_filter = ("groups", "is_active", "is_superuser")
    filter_parameters = ("groups__id__exact", "groups__isnull", "is_active__exact", "is_superuser__exact")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        ("Rights", {"fields": POWERS}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    readonly_fields = ("last_login", "date_joined")
    filter_horizontal = ("groups",)

    @admin.display(description="roles")
    def roles(self, login: User) -> str:
        return ", ".join(group.name for group in login.groups.all())

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return super().formfield_for_manytomany(db_field, request, form_class=RolesField, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        sections = super().get_fieldsets(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return sections
        # Beside what is known of a password stands the button that sets another.
        return [(title, {**rest, "fields": [f for f in rest["fields"] if f != "password"]}) for title, rest in sections]

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        own = obj is not None and obj.pk == request.user.pk
        superuser = bool(getattr(request.user, "is_superuser", False))
        fixed = POWERS if own else () if superuser else ("is_superuser",)
        return (*self.readonly_fields, *fixed)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        # Else an operator could take a superuser's login by setting its password.
        if obj is not None and obj.is_superuser and not getattr(request.user, "is_superuser", False):
            return False
        return super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if request.method == "POST" and (stale := require_fresh(request)):
            return stale
        return super().changeform_view(request, object_id, form_url, extra_context)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """Who gets a password from somebody else has to choose another at the next sign-in, so is told of it."""
        if stale := require_fresh(request):
            return stale
        response = super().user_change_password(request, id, form_url)
        person = self.get_object(request, unquote(id))
        if request.method == "POST" and response.status_code == HTTPStatus.FOUND and person is not None:
            StaffEvent.objects.create(staff_id=request.user.pk, action="staff.password", subject=person.username)
            if person.pk != request.user.pk:
                policy.owe_password(person, by=login(request))
                sessions.end_all_of(person)
        return response

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """What was given or taken is kept as an event beside it."""
        before = powers_of(User.objects.get(pk=form.instance.pk)) if change else {}
        before |= {name: form.initial[name] for name in form.changed_data if name in POWERS and name != "groups"}
        super().save_related(request, form, formsets, change)
        if not change and form.instance.has_usable_password():
            policy.owe_password(form.instance, by=login(request))
        after = powers_of(form.instance)
        if before != after:
            StaffEvent.objects.create(
                staff_id=request.user.pk,
                action="staff.rights" if change else "staff.added",
                subject=form.instance.username,
                detail={"before": before, "after": after},
            )


def powers_of(login: User) -> dict[str, Any]:
    """What of a login decides its rights, as plain values."""
    flags = {name: getattr(login, name) for name in POWERS if name != "groups"}
    return {**flags, "groups": sorted(login.groups.values_list("name", flat=True))}


@admin.register(Group)
class RoleAdmin(ReadOnlyMixin, OwnFiltersMixin, GroupAdmin):
    """Roles are shown; `console/roles.py` says what they may do."""

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return bool(getattr(request.user, "has_perm", lambda _: False)("auth.view_group"))


@admin.register(StaffEvent)
class StaffEventAdmin(EventExport, ReadOnlyMixin, OwnFiltersMixin, admin.ModelAdmin):
    list_display = ("when", "staff", "action", "subject")
    list_filter = ("action",)
    filter_parameters = ("action",)
    search_fields = ("=subject", "=staff__username")
    search_help_text = "A login's name, or what it was done to."
    list_select_related = ("staff",)
    list_per_page = 50
    show_full_result_count = False
    fields = ("number", "when", "staff", "action", "subject", "details", "seal")
    when = cells.column("at", cells.moment, heading="when", sort="at")
    details = cells.column("detail", cells.json_block)
