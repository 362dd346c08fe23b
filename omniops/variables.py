"""The names of the environment variables that omniops reads. Run as a script it prints them, with their _FILE forms."""

from __future__ import annotations

NAMES = (
    "DJANGO_SECRET_KEY",
    "DJANGO_DEBUG",
    "DJANGO_ALLOWED_HOSTS",
    "CONSOLE_DATABASE_URL",
    "OMNICHAT_DATABASE_URL",
    "CLOUDFLARE_API_TOKEN",
    "CLOUDFLARE_API_READ_TOKEN",
    "CLOUDFLARE_ACCOUNT_ID",
    "D1_DATABASE_ID",
    "CLOUDFLARE_API_BASE",
    "STRIPE_SECRET_KEY",
    "STRIPE_WEBHOOK_SECRET",
    "STRIPE_API_BASE",
    "STRIPE_EFFECTS",
    "CLERK_SECRET_KEY",
    "CLERK_WEBHOOK_SECRET",
    "CLERK_API_BASE",
    "BACKUP_STORAGE",
    "BACKUP_AGE_RECIPIENT",
    "BACKUP_AGE_IDENTITY",
    "GRANT_LIMITS",
    "CLOUDFLARE_ACCESS_TEAM",
    "CLOUDFLARE_ACCESS_AUD",
    "OIDC_ISSUER",
    "OIDC_CLIENT_ID",
    "OIDC_CLIENT_SECRET",
    "METRICS_TOKEN",
    "SENTRY_DSN",
)

if __name__ == "__main__":
    print(*(f"{name} {name}_FILE" for name in NAMES))
