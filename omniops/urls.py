from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from console.views.account import account_page
from console.views.contents import contents_page
from console.views.find import find_page
from console.views.health import health_page
from console.views.home import count_again, home_page
from console.views.notes import add_note, change_note
from console.views.person import deletion_page, export_file, export_page
from console.views.standin import standin_page
from console.views.stripe_actions import action_page, plan_page, subscription_page
from console.views.stripe_refunds import payments_page, refund_page
from console.views.views import choose_columns, remove_view, save_view
from console.views.webhooks import clerk, stripe
from omniops.watching.metrics import metrics
from omniops.watching.probes import healthz, readyz

urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
    path("admin/", admin.site.admin_view(home_page)),
    path("admin/count-figures/", admin.site.admin_view(count_again), name="count_figures"),
    path("admin/account/<str:user_id>/", admin.site.admin_view(account_page), name="account"),
    path("admin/account/<str:user_id>/notes/", admin.site.admin_view(add_note), name="account_notes"),
    path("admin/account/<str:user_id>/export/", admin.site.admin_view(export_page), name="person_export"),
    path("admin/account/<str:user_id>/delete/", admin.site.admin_view(deletion_page), name="person_deletion"),
    path("admin/account/<str:user_id>/<slug:tab>/", admin.site.admin_view(account_page), name="account_tab"),
    path("admin/notes/<int:pk>/", admin.site.admin_view(change_note), name="note"),
    path("admin/person-files/<int:pk>/", admin.site.admin_view(export_file), name="person_file"),
    path("admin/views/", admin.site.admin_view(save_view), name="save_view"),
    path("admin/views/columns/", admin.site.admin_view(choose_columns), name="choose_columns"),
    path("admin/views/<int:pk>/remove/", admin.site.admin_view(remove_view), name="remove_view"),
    path("admin/health/", admin.site.admin_view(health_page), name="health"),
    # Django's jump to any row of any table by its number, which no page here uses.
    path("admin/r/<path:rest>", RedirectView.as_view()),
    path("admin/contents/<str:conversation_id>/", admin.site.admin_view(contents_page), name="contents"),
    path("admin/find/", admin.site.admin_view(find_page), name="find"),
    path("admin/stripe/<str:id>/", admin.site.admin_view(subscription_page), name="stripe_subscription"),
    path("admin/stripe/<str:id>/plan/", admin.site.admin_view(plan_page), name="stripe_plan"),
    path("admin/stripe/<str:id>/<slug:name>/", admin.site.admin_view(action_page), name="stripe_action"),
    path("admin/stripe-payments/<str:user_id>/", admin.site.admin_view(payments_page), name="stripe_payments"),
    path("admin/stripe-refund/<str:intent>/", admin.site.admin_view(refund_page), name="stripe_refund"),
    path("admin/stripe-standin/", admin.site.admin_view(standin_page), name="stripe_standin"),
    path("admin/", include("console.signin.urls")),
    path("admin/", admin.site.urls),
    path("webhooks/stripe/", stripe, name="webhooks_stripe"),
    path("webhooks/clerk/", clerk, name="webhooks_clerk"),
    path("", RedirectView.as_view(pattern_name="admin:index")),
]
handler400 = "omniops.refusals.bad_request"
handler500 = "database.trouble.server_error"
