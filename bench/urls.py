from django.urls import path

from bench.stock.admin import plain
from omniops.urls import urlpatterns as console

urlpatterns = [path("stock/", plain.urls), *console]
