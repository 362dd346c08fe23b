from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from console.views.find import find_page

urlpatterns = [
    path("admin/find/", admin.site.admin_view(find_page), name="find"),
    path("admin/", admin.site.urls),
    path("", RedirectView.as_view(pattern_name="admin:index")),
]
