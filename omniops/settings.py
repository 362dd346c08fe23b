"""Settings. Everything runs with no variable set; docs/settings.md tells of each."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from csp.constants import NONE, SELF
from django.core.management.utils import get_random_secret_key

from database.archive_crypto import identities, recipient
from database.backup_address import address
from omniops.environment import (
    PROBLEMS,
    REFUSING,
    USUAL_GRANT_LIMITS,
    api_token,
    checked,
    choice,
    console_url,
    flag,
    grant_limits,
    hosts,
    http_url,
    kept,
    omnichat_database,
    omnichat_url,
    read,
    secret_url,
    sqlite,
)
from omniops.hardening import is_public, transport
from omniops.service_keys import clerk_key, signing_secrets, stripe_base, stripe_key, svix_secrets
from omniops.sign_in import cloudflare_access, openid_connect
from omniops.watching import sentry
from omniops.watching.logs import logging_of

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"
# STATIC_ROOT is filled by collectstatic where a server wants it; WhiteNoise finds the files in the rooms as well.
STATIC_ROOT = VAR_DIR / "static"
with suppress(OSError):  # Where all is set to be elsewhere, the clone may be read-only.
    STATIC_ROOT.mkdir(parents=True, exist_ok=True)


def _kept_secret_key() -> str:
    """A key made once and kept beside the local databases, so that sessions outlive a restart."""
    try:
        return kept(VAR_DIR / "secret_key", get_random_secret_key)
    except OSError as error:
        PROBLEMS.append(("DJANGO_SECRET_KEY", f"it is not set, and none can be kept in {VAR_DIR} ({error.strerror})."))
        return get_random_secret_key()


DEBUG = read("DJANGO_DEBUG", flag, False)
ALLOWED_HOSTS = read("DJANGO_ALLOWED_HOSTS", hosts, ["127.0.0.1", "localhost", "[::1]"])
SECRET_KEY = read("DJANGO_SECRET_KEY", str, "") or _kept_secret_key()

#: Reads the URL of a database that a command is given, as `restore_database --into`.
PARSE_OMNICHAT_URL = omnichat_url
#: What --local names, whatever the environment says.
LOCAL_OMNICHAT = sqlite(VAR_DIR / "omnichat.sqlite3")
DATABASES = {
    "default": read("CONSOLE_DATABASE_URL", console_url, sqlite(VAR_DIR / "console.sqlite3"), wrong=REFUSING),
    "omnichat": omnichat_database(LOCAL_OMNICHAT),
}
# To open a file costs more than most of what is asked of it. OmniChat's is opened anew, for a restore may swap it.
DATABASES["default"]["CONN_MAX_AGE"] = 60
# Django has no migration for OmniChat's tables, so a test database needs none of its own.
DATABASES["omnichat"]["TEST"] = {"MIGRATE": False}
DATABASE_ROUTERS = ["database.router.OmniChatRouter"]
SQL_MIGRATIONS_DIR = BASE_DIR / "migrations"
CLERK_SECRET_KEY = read("CLERK_SECRET_KEY", clerk_key, "")
CLERK_API_BASE = read("CLERK_API_BASE", secret_url, "https://api.clerk.com/v1")
CLERK_WEBHOOK_SECRETS: list[str] = read("CLERK_WEBHOOK_SECRET", svix_secrets, [])
STRIPE_SECRET_KEY = read("STRIPE_SECRET_KEY", stripe_key, "")
STRIPE_WEBHOOK_SECRETS: list[str] = read("STRIPE_WEBHOOK_SECRET", signing_secrets, [])
STRIPE_API_BASE = read("STRIPE_API_BASE", stripe_base, "")
#: Where the demo's stand-in of Stripe serves; no variable, run_demo sets it.
STRIPE_STANDIN = ""
#: "apply" writes what events tell to OmniChat's database; "observe" only compares.
STRIPE_EFFECTS = read("STRIPE_EFFECTS", choice("apply", "observe"), "apply", wrong="observe")
BACKUP_STORAGE = read("BACKUP_STORAGE", checked(address), str(VAR_DIR / "backups"))
BACKUP_AGE_RECIPIENT = read("BACKUP_AGE_RECIPIENT", checked(recipient), "")
BACKUP_AGE_IDENTITY = read("BACKUP_AGE_IDENTITY", checked(identities), "")
GRANT_LIMITS = read("GRANT_LIMITS", grant_limits, USUAL_GRANT_LIMITS)
OIDC_ISSUER, SOCIALACCOUNT_PROVIDERS = openid_connect()
CLOUDFLARE_ACCESS_TEAM, CLOUDFLARE_ACCESS_AUD = cloudflare_access()
CLOUDFLARE_ACCESS_URL = f"https://{CLOUDFLARE_ACCESS_TEAM}.cloudflareaccess.com" if CLOUDFLARE_ACCESS_TEAM else ""
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "omniops",
    "console",
    "console.signin",
    "billing",
    "chat",
    "database",
    "import_export",
    "csp",
    "django_tasks",
    "django_tasks_db",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.usersessions",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "console.views.webhooks.Deliveries",
    "csp.middleware.CSPMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "omniops.refusals.BodyLength",
    "database.usage.UsageMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "console.signin.gate.SignInGate",
    "database.trouble.DatabaseTroubleMiddleware",
]
ROOT_URLCONF = "omniops.urls"
WSGI_APPLICATION = "omniops.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "database.usage.page_usage",
                "console.context.console",
            ],
        },
    },
]

PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}", "OPTIONS": options}
    for name, options in (
        ("UserAttributeSimilarityValidator", {}),
        ("MinimumLengthValidator", {"min_length": 12}),
        ("CommonPasswordValidator", {}),
    )
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
SESSION_COOKIE_AGE = 8 * 60 * 60

# Sign-in; docs/signin.md tells of each. allauth carries second factors, OpenID Connect and the list of sessions.
ACCOUNT_ADAPTER = "console.signin.adapters.AccountAdapter"
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_REAUTHENTICATION_TIMEOUT = 10 * 60
ACCOUNT_RATE_LIMITS = {"login_failed": "10/5m/key", "reauthenticate": "30/m/user"}
MFA_ADAPTER = "console.signin.adapters.FactorAdapter"
MFA_FORMS = {
    "authenticate_webauthn": "console.signin.passkey_forms.AuthenticateForm",
    "reauthenticate_webauthn": "console.signin.passkey_forms.ReauthenticateForm",
    "login_webauthn": "console.signin.passkey_forms.LoginForm",
    "add_webauthn": "console.signin.passkey_forms.AddForm",
}
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_TOTP_TOLERANCE = 1
MFA_RATE_LIMITS = {"webauthn_login": "60/m/ip"}
#: Browsers give passkeys to http://localhost alone, and it is not reached from elsewhere.
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = False
SOCIALACCOUNT_ADAPTER = "console.signin.adapters.OidcAdapter"
SOCIALACCOUNT_LOGIN_ON_GET = True
#: Proxies of one's own before the console. 0 reads no X-Forwarded-For, which anybody can send.
ALLAUTH_TRUSTED_PROXY_COUNT = 0
# Codes that were used and the counts of tries are to be known to all processes.
CACHES = {"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "console_cache"}}

#: Whether it is reached from elsewhere; docs/security.md tells what that changes.
PUBLIC = is_public(DEBUG, ALLOWED_HOSTS)
globals().update(transport(PUBLIC))
LOGGING = logging_of(PUBLIC)
if PUBLIC:
    MIDDLEWARE.insert(0, "omniops.watching.requests.RequestLog")
# Anybody can send such headers; an id of ours joins the lines of one request and of no other.
DJANGO_STRUCTLOG_TRUST_UPSTREAM_REQUEST_ID = DJANGO_STRUCTLOG_TRUST_UPSTREAM_CORRELATION_ID = False
#: What /metrics is asked with; without one there is no such page.
METRICS_TOKEN = read("METRICS_TOKEN", api_token, "")
if METRICS_TOKEN:
    _timed = [f"django_prometheus.middleware.Prometheus{when}Middleware" for when in ("Before", "After")]
    MIDDLEWARE = [_timed[0], *MIDDLEWARE, _timed[1]]
sentry.start(read("SENTRY_DSN", http_url, ""))
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DEFAULT_EXCEPTION_REPORTER_FILTER = "omniops.hardening.SecretsFilter"

# No inline script or style anywhere, and nothing from elsewhere.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    # Data of people, for a day. Where jobs are worked off on another machine it has to be one that both reach.
    "exports": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {
            "location": VAR_DIR / "exports",
            "file_permissions_mode": 0o600,
            "directory_permissions_mode": 0o700,
        },
    },
}

# The queue of jobs is a table of `default`. A process that serves works it off in a thread of its own.
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
JOBS_EMBEDDED = True

FILE_UPLOAD_HANDLERS = [
    "omniops.hardening.BodyLimit",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]
# A form of 1,000 fields is nothing that a page here makes.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1000
ENVIRONMENT_PROBLEMS = PROBLEMS
