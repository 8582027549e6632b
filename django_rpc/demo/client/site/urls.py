from django.contrib import admin
from django.templatetags.static import static
from django.urls import path
from django.views.generic import RedirectView

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("favicon.ico", RedirectView.as_view(url=static("admin/img/icon-viewlink.svg"))),  # browsers request an icon
    path("admin/", admin.site.urls),
]
