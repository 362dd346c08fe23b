from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from console.views.find import find_page
from console.views.home import count_again, home_page

urlpatterns = [
    path("admin/", admin.site.admin_view(home_page)),
    path("admin/count-figures/", admin.site.admin_view(count_again), name="count_figures"),
    path("admin/find/", admin.site.admin_view(find_page), name="find"),
    path("admin/", admin.site.urls),
    path("", RedirectView.as_view(pattern_name="admin:index")),
]
