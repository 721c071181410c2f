"""Settings from the environment or a `.env` file beside manage.py; `.env.example` explains each."""

import datetime
import logging
import os
import re
import sys
import zoneinfo
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from . import __version__, databases, secret_keys
from .environment import Environment
from .logs import FORMATTERS, OneLineFilter

VERSION = __version__
BASE_DIR = Path(__file__).resolve().parent.parent

env = Environment()
# `manage.py demo` sets DEMO. The sample institution is an installation of its own, in a folder of its own, with default
# settings: no .env, database, mail server or queue of a real one is used.
IS_DEMO = os.environ.get("DEMO", "").lower() in ("true", "1", "yes")
if IS_DEMO:
    env.ENVIRON = {
        name: value for name, value in os.environ.items() if name in ("LOG_LEVEL", "LOG_FORMAT", "TIME_ZONE")
    }
    env.ENVIRON |= {"DEBUG": "true", "VAR_DIR": f"{os.environ.get('VAR_DIR') or BASE_DIR / 'var'}/demo"}
else:
    env.read_env(BASE_DIR / ".env")

DEBUG = env.bool("DEBUG", default=False)

SECRET_KEY = env.str("SECRET_KEY", default="")
if problem := secret_keys.problem_of(SECRET_KEY):
    if not DEBUG:
        raise ImproperlyConfigured(
            f"SECRET_KEY {problem}. Make one with\n"
            "    python3 -c 'import secrets; print(secrets.token_urlsafe(50))'\n"
            "and put SECRET_KEY=... into .env or the environment. (DEBUG=true runs without one, "
            "for trying things out on your own machine only.)"
        )
    SECRET_KEY = "insecure-key-for-debug-only"  # noqa: S105 (debug only, refused above otherwise)

ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

# Costs, names and addresses are nobody else's on this machine: whatever the umask was, files are made for their owner
# and, to read, their group.
os.umask(os.umask(0o077) | 0o027)

# Everything the program writes lives under here, outside any folder that a web server serves.
VAR_DIR = Path(env.str("VAR_DIR", default=str(BASE_DIR / "var"))).resolve()
for folder in (VAR_DIR, VAR_DIR / "files", VAR_DIR / "uploads"):
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(
            f"VAR_DIR: the folder {folder} cannot be made ({error.strerror}). Name one that this user may write to."
        ) from error
MEDIA_ROOT = VAR_DIR / "files"
# Where the head of the audit log is noted after each commit, outside the database; empty: VAR_DIR/audit-head.
AUDIT_ANCHOR = env.str("AUDIT_ANCHOR", default="")
# Who reads /metrics; empty: programs on this machine that no proxy speaks for.
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
# Files are handed out by views after a permission check; nothing is served from MEDIA_ROOT.
MEDIA_URL = ""
FILE_UPLOAD_PERMISSIONS = 0o640
FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o750
# Uploads above this stay out of memory; the limit of a whole upload is MAX_UPLOAD_BYTES.
FILE_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
# Not where the whole machine keeps its temporary files: what a killed process leaves here is cleared away.
FILE_UPLOAD_TEMP_DIR = VAR_DIR / "uploads"
# How many years after the end of its fiscal year the detail of charges is kept at least.
RETENTION_YEARS = env.int("RETENTION_YEARS", default=7)
MAX_UPLOAD_BYTES = env.int("MAX_UPLOAD_BYTES", default=2 * 1024**3)

# Received files and documents are in a bucket where this names one, so that several machines share them.
STORAGE_BUCKET = env.str("STORAGE_BUCKET", default="")
STORAGES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
if STORAGE_BUCKET:
    endpoint = env.str("STORAGE_ENDPOINT", default="").rstrip("/")
    if endpoint and not re.fullmatch(r"https?://[^/\s]+", endpoint):
        raise ImproperlyConfigured(f"STORAGE_ENDPOINT is “{endpoint}”. Write https://host, or https://host:port.")
    keys = env.str("STORAGE_ACCESS_KEY", default=""), env.str("STORAGE_SECRET_KEY", default="")
    if not all(keys) and any(keys):
        raise ImproperlyConfigured("STORAGE_ACCESS_KEY and STORAGE_SECRET_KEY belong together: set both, or neither.")
    style = env.str("STORAGE_ADDRESSING", default="path" if endpoint else "auto")
    if style not in ("path", "virtual", "auto"):
        raise ImproperlyConfigured(f"STORAGE_ADDRESSING is “{style}”. It may be path, virtual or auto.")
    STORAGES["default"] = {
        "BACKEND": "billing.files.objects.ObjectStorage",
        "OPTIONS": {
            "bucket_name": STORAGE_BUCKET,
            "location": env.str("STORAGE_PREFIX", default="").strip("/"),
            "endpoint_url": endpoint or None,
            "region_name": env.str("STORAGE_REGION", default="") or None,
            # Without keys: those of the machine's role.
            "access_key": keys[0] or None,
            "secret_key": keys[1] or None,
            "addressing_style": style,
        },
    }

INSTALLED_APPS = [
    "openchargeback.apps.OpenChargebackAdminConfig",
    # Before Django's accounts, whose commands it extends.
    "openchargeback.apps.OpenChargebackConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "axes",
    "csp",
    "crispy_forms",
    "django_q",
    "billing",
    "statements",
    "journals",
]

MIDDLEWARE = [
    "openchargeback.middleware.ReferenceMiddleware",
    # Probes ask for no name of the site, and the peer itself counts, not what a proxy says of it.
    "openchargeback.watching.middleware.WatchingMiddleware",
    # Before all that reads a request: what only a proxy may say is gone then.
    "openchargeback.middleware.TrustedProxyMiddleware",
    # Before whatever answers by itself: a refusal is a page, too.
    "openchargeback.middleware.SecurityHeadersMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "openchargeback.middleware.PlainTextMiddleware",
    "openchargeback.middleware.StaticFilesMiddleware",
    "openchargeback.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "openchargeback.middleware.OutageMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "openchargeback.middleware.SessionLifetimeMiddleware",
    "openchargeback.middleware.HeaderSignInMiddleware",
    "openchargeback.middleware.UploadLimitMiddleware",
    "openchargeback.middleware.PlainFormMiddleware",
    "openchargeback.middleware.RefusalMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "openchargeback.middleware.OnceMiddleware",
    "openchargeback.middleware.OnceAPageMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "openchargeback.urls"
WSGI_APPLICATION = "openchargeback.wsgi.application"
ASGI_APPLICATION = "openchargeback.asgi.application"

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
                "openchargeback.views.product_version",
            ],
            # The link to the help stands in the frames, which every page shares.
            "builtins": ["openchargeback.templatetags.help_links"],
        },
    },
]

DATABASE_URL = env.str("DATABASE_URL", default=f"sqlite:///{VAR_DIR / 'db.sqlite3'}")
# How long somebody waits for another who writes to SQLite, before it is told to them.
DATABASE_WAIT_SECONDS = env.int("DATABASE_WAIT_SECONDS", default=60)
try:
    database = databases.configured(DATABASE_URL, wait=DATABASE_WAIT_SECONDS)
except ValueError as error:
    raise ImproperlyConfigured(f"DATABASE_URL {error} Or leave it out for SQLite in VAR_DIR.") from None
IS_SQLITE = database["ENGINE"] == databases.SQLITE
DATABASES = {"default": database}

# What pages show of a month and is costly to work out, shared by all processes of web and worker: files on SQLite,
# where all run on one machine and a row would wait for whoever is writing; a table of the database elsewhere.
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    "months": {
        "BACKEND": f"django.core.cache.backends.{'filebased.FileBasedCache' if IS_SQLITE else 'db.DatabaseCache'}",
        "LOCATION": str(VAR_DIR / "cache") if IS_SQLITE else "billing_kept",
        "KEY_PREFIX": VERSION,
        "TIMEOUT": None,
        "OPTIONS": {"MAX_ENTRIES": 1_000},
    },
}
# Arrow reads files by several threads. Its own choice on Linux, mimalloc, keeps what one of them frees for another:
# some 100 MiB of an import. It looks at this before it allocates anything.
if sys.platform == "linux":
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
# `flush` empties every table. The tests set this for their own database; nothing else does.
MAY_FLUSH = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "billing.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "openchargeback.backends.RolesBackend",
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "openchargeback.password_rules.LengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": env.int("PASSWORD_MIN_LENGTH", default=12)},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "openchargeback.password_rules.DressedPasswordValidator"},
    {"NAME": "openchargeback.password_rules.PatternValidator"},
    {
        "NAME": "openchargeback.password_rules.ContextWordsValidator",
        "OPTIONS": {"words": ["openchargeback", "chargeback", "billing", "statement", "research", "password"]},
    },
]
PASSWORD_RESET_TIMEOUT = env.int("PASSWORD_LINK_HOURS", default=72) * 3600
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
# Where the institution's own sign-in is left too.
LOGOUT_REDIRECT_URL = env.str("SSO_LOGOUT_URL", default="") or "login"
# How long a session may last, and how long it may lie idle.
SESSION_COOKIE_AGE = env.int("SESSION_HOURS", default=12) * 3600
SESSION_IDLE_SECONDS = env.int("SESSION_IDLE_MINUTES", default=30) * 60
SESSION_ENGINE = "openchargeback.sessions"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"

# So many wrong passwords lock the pair of user and address; ten times as many, from anywhere, an account,
# and, for any account, an address (openchargeback/throttling.py).
AXES_FAILURE_LIMIT = env.int("SIGN_IN_ATTEMPTS", default=5)
AXES_COOLOFF_TIME = datetime.timedelta(minutes=env.int("LOCK_MINUTES", default=30))
AXES_HANDLER = "openchargeback.throttling.SignInHandler"
AXES_LOCKOUT_CALLABLE = "openchargeback.throttling.locked_out"
AXES_USERNAME_CALLABLE = "openchargeback.sign_ins.name_kept"
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
# A lock ends when it said it would, whoever goes on trying: else anybody could keep anybody out.
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_ENABLE_ADMIN = False
# Sign-ins are in the audit log.
AXES_DISABLE_ACCESS_LOG = True
AXES_VERBOSE = False

# How often a token may ask the API (billing/api_tokens.py).
API_REQUESTS_PER_MINUTE = env.int("API_REQUESTS_PER_MINUTE", default=120)
if API_REQUESTS_PER_MINUTE < 1:
    raise ImproperlyConfigured(f"API_REQUESTS_PER_MINUTE is {API_REQUESTS_PER_MINUTE}. It is a number, 1 or more.")

# Who may say for whom, and over which scheme, a request came: addresses and networks, and `unix` for a socket.
TRUSTED_PROXIES = env.list("TRUSTED_PROXIES", default=["127.0.0.1", "::1", "unix"])
# Single sign-on by a header that such a proxy sets; off without a name.
REMOTE_USER_HEADER = env.str("REMOTE_USER_HEADER", default="")
REMOTE_USER_EMAIL_HEADER = env.str("REMOTE_USER_EMAIL_HEADER", default="")
# Single sign-on by OpenID Connect; off without an issuer.
OIDC_ISSUER = env.str("OIDC_ISSUER", default="").rstrip("/")
OIDC_CLIENT_ID = env.str("OIDC_CLIENT_ID", default="")
OIDC_CLIENT_SECRET = env.str("OIDC_CLIENT_SECRET", default="")
OIDC_NAME = env.str("OIDC_NAME", default="your institution")
OIDC_SCOPES = env.str("OIDC_SCOPES", default="openid email profile")
OIDC_EMAIL_CLAIM = env.str("OIDC_EMAIL_CLAIM", default="email")
OIDC_REQUIRE_VERIFIED_EMAIL = env.bool("OIDC_REQUIRE_VERIFIED_EMAIL", default=True)

# A check of the institution's own before a journal is submitted: the dotted path of a function.
JOURNAL_VALIDATOR = env.str("JOURNAL_VALIDATOR", default="")

LANGUAGE_CODE = "en-us"
TIME_ZONE = env.str("TIME_ZONE", default="UTC")
try:
    zoneinfo.ZoneInfo(TIME_ZONE)
except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError) as error:
    raise ImproperlyConfigured(
        f"TIME_ZONE={TIME_ZONE}: there is no such time zone. Write one such as America/Los_Angeles."
    ) from error
USE_I18N = True
USE_TZ = True
USE_THOUSAND_SEPARATOR = True
FORMAT_MODULE_PATH = "openchargeback.formats"

STATIC_URL = "static/"
STATIC_ROOT = env.path("STATIC_ROOT", default=str(BASE_DIR / "staticfiles"))
# The fonts of documents are those of pages, too, for names in scripts that a device has no letters for.
STATICFILES_DIRS = [BASE_DIR / "openchargeback" / "static", ("fonts", BASE_DIR / "statements" / "fonts")]
# WhiteNoise serves straight from the apps' folders, so that no collect step is needed to start.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

# Our own: templates/frame.
CRISPY_ALLOWED_TEMPLATE_PACKS = ["frame"]
CRISPY_TEMPLATE_PACK = "frame"

# Seconds to wait for the mail server; then that e-mail has failed, and the next one is tried.
EMAIL_TIMEOUT = env.int("EMAIL_TIMEOUT", default=30)
if EMAIL_TIMEOUT < 1:
    raise ImproperlyConfigured(f"EMAIL_TIMEOUT is {EMAIL_TIMEOUT}. It is a number of seconds, 1 or more.")
# Without a mail server, e-mails are kept as files, where a person can read them.
EMAIL_FILE_PATH = str(VAR_DIR / "mail")
if EMAIL_URL := env.str("EMAIL_URL", default=""):
    try:
        globals().update(env.email_url_config(EMAIL_URL))
    except (ValueError, ImproperlyConfigured) as error:
        raise ImproperlyConfigured(
            "EMAIL_URL is not the address of a mail server: write smtp+tls://user:password@host:587, with %40 and the "
            "like for other characters of the password."
        ) from error
else:
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
# Test mode: whatever is sent goes to this address alone.
if EMAIL_REDIRECT_TO := env.str("EMAIL_REDIRECT_TO", default="").strip():
    if not re.fullmatch(r"[^@\s,;<>]+@[^@\s,;<>]+", EMAIL_REDIRECT_TO):
        raise ImproperlyConfigured(
            f"EMAIL_REDIRECT_TO is “{EMAIL_REDIRECT_TO}”. It is one e-mail address, or left out."
        )
    if EMAIL_BACKEND == "django.core.mail.backends.smtp.EmailBackend":
        EMAIL_BACKEND = "billing.mail_test_mode.EmailBackend"
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="billing@localhost")

# Where links in mails and documents point to. `serve` tells its processes their port in SERVED_AT.
SITE_URL = env.str("SITE_URL", default=os.environ.get("SERVED_AT") or "http://localhost:8000").rstrip("/")

# `retry` must exceed `timeout`, or a task that is still running is handed out a second time.
Q_CLUSTER = {
    "name": "openchargeback",
    "workers": 1 if IS_SQLITE else env.int("Q_WORKERS", default=2),
    "timeout": 4 * 3600,
    "retry": 5 * 3600,
    "max_attempts": 1,
    "save_limit": 1000,
    # Nothing is scheduled: cron calls commands.
    "scheduler": False,
    "label": "Background tasks",
}
if Q_BROKER_URL := env.str("Q_BROKER_URL", default=""):
    if not Q_BROKER_URL.startswith(("redis://", "rediss://", "unix://")):
        raise ImproperlyConfigured("Q_BROKER_URL is not the address of a queue: write redis://host:6379/0.")
    Q_CLUSTER["redis"] = Q_BROKER_URL
    Q_CLUSTER["broker_class"] = "openchargeback.redis_queue.RedisQueue"
else:
    Q_CLUSTER["orm"] = "default"
    Q_CLUSTER["poll"] = 0.5

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
        "manifest-src": [SELF],
    },
}
CSRF_FAILURE_VIEW = "openchargeback.errors.csrf_failed"
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
# A site that is reached as localhost, over http, is a trial on somebody's own machine; every other one needs https.
THIS_MACHINE = {"localhost", "127.0.0.1", "[::1]", "::1"}
IS_TRIAL = (
    SITE_URL.startswith("http://")
    and urlsplit(SITE_URL).hostname in THIS_MACHINE
    and THIS_MACHINE.issuperset(ALLOWED_HOSTS)
)
if not DEBUG:
    # Behind a proxy that ends TLS; INSECURE_HTTP=true is for a trial on another machine without one.
    SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not env.bool("INSECURE_HTTP", default=IS_TRIAL)
    # The API refuses what comes over http: to lead a program on would hide that it sends its token to everybody.
    SECURE_REDIRECT_EXEMPT = ["^api/"]
    SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", default=31_536_000) if SECURE_SSL_REDIRECT else 0
    SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = bool(SECURE_HSTS_SECONDS)
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    if SECURE_SSL_REDIRECT:
        # A browser takes cookies so named from this host alone, over https alone.
        SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"

LOG_FORMAT = env.str("LOG_FORMAT", default="text")
LOG_LEVEL = env.str("LOG_LEVEL", default="WARNING").upper()
if LOG_FORMAT not in FORMATTERS:
    raise ImproperlyConfigured(f"LOG_FORMAT is “{LOG_FORMAT}”. It may be {', '.join(FORMATTERS)}.")
if LOG_LEVEL not in logging.getLevelNamesMapping():
    raise ImproperlyConfigured(f"LOG_LEVEL={LOG_LEVEL}: write WARNING, INFO or DEBUG.")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": FORMATTERS[LOG_FORMAT]}},
    "filters": {"one_line": {"()": OneLineFilter}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["one_line"]}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        # For a collector every event of the audit log, whatever the level; for people only at LOG_LEVEL=INFO.
        "openchargeback.audit": {"level": LOG_LEVEL if LOG_FORMAT == "text" else "INFO"},
        # Without the handlers that Django gives it, which would write each line a second time in debug mode.
        "django": {"handlers": []},
    },
}
