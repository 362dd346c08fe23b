"""Addresses of sign-in. allauth asks for some by their names; its pages that are not here are not served."""

from __future__ import annotations

from allauth.account.views import reauthenticate
from allauth.mfa.base.views import authenticate
from allauth.mfa.base.views import reauthenticate as prove
from django.contrib import admin
from django.urls import include, path

from console.views import security, sign_in

_own = admin.site.admin_view

urlpatterns = [
    path("login/", sign_in.sign_in, name="account_login"),
    path("password_change/", _own(sign_in.own_password, cacheable=True), name="own_password"),
    path("security/", _own(security.security), name="security"),
    path("security/leave/", sign_in.leave, name="account_logout"),
    path("security/sessions/<int:pk>/end/", _own(security.end_session), name="end_session"),
    path("security/sessions/end-others/", _own(security.end_other_sessions), name="end_other_sessions"),
    path("security/second-factor-policy/", _own(security.factor_policy), name="factor_policy"),
    path("security/second-factors-of/<int:pk>/remove/", _own(security.remove_factors), name="remove_factors"),
    path("security/confirm/", sign_in.throttled(reauthenticate), name="account_reauthenticate"),
    path("security/confirm/elsewhere/", sign_in.elsewhere, name="sign_in_elsewhere"),
    path("security/second-factor/authenticate/", sign_in.throttled(authenticate), name="mfa_authenticate"),
    path("security/second-factor/reauthenticate/", sign_in.throttled(prove), name="mfa_reauthenticate"),
    path("security/second-factor/", include("allauth.mfa.urls")),
    path("sign-in/<slug:provider_id>/", sign_in.oidc_login, name="openid_connect_login"),
    path("sign-in/<slug:provider_id>/callback/", sign_in.oidc_callback, name="openid_connect_callback"),
    path("sign-in/oidc/not-finished/", sign_in.oidc_failed, name="socialaccount_login_cancelled"),
]
