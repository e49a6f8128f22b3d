"""Settings, all from the environment; every variable is explained in docker/env.example.

Settings, root URLs and WSGI live in `frontend` because something must name every app, and this is the outermost
package: all its arrows point down. Nobody imports this module; everyone uses `django.conf.settings`.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from pathlib import Path
from urllib.parse import quote

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
environ.Env.read_env(BASE_DIR / ".env")
# What is empty is not set: files of settings and compose leave a variable empty where there is nothing to say.
env.ENVIRON = {name: value for name, value in os.environ.items() if value.strip()}

# The embedded default keeps everything that must survive a restart in this one folder.
ATTUNE_HOME = Path(env.str("ATTUNE_HOME", default=str(BASE_DIR / "var"))).resolve()
# Snapshots, runs and models: files, because the training core reads files and never the database.
ATTUNE_FILES = Path(env.str("ATTUNE_FILES", default=str(ATTUNE_HOME / "files"))).resolve()
# Besides the folders `models` and `prompts` below the files: where people may take models and prompts from.
ATTUNE_SHARED_FOLDERS = env.list("SHARED_FOLDERS", default=[])
ATTUNE_HOME.mkdir(parents=True, exist_ok=True)

DEBUG = env.bool("DEBUG", default=False)


def _secret_key() -> str:
    """Return SECRET_KEY, or for the embedded default one that is made once and kept beside the database."""
    given = env.str("SECRET_KEY", default="")
    if given:
        return given
    path = ATTUNE_HOME / "secret_key"
    if not path.exists():
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(50))
        except FileExistsError:
            pass  # another process of the same start was faster
    return path.read_text()


SECRET_KEY = _secret_key()
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "frontend",
    "training",
    "annotation",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django_htmx",
    "rest_framework",
    "knox",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "csp",
]

MIDDLEWARE = [
    # First, so that whatever another one logs has the request's name.
    "frontend.request_names.Named",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    # Before whatever answers in words.
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

# Prometheus asks /metrics with this in its header; without it requests are not counted and there is nothing to ask.
ATTUNE_METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
if ATTUNE_METRICS_TOKEN:
    MIDDLEWARE.insert(0, "frontend.metrics.Latency")

ROOT_URLCONF = "frontend.urls"
WSGI_APPLICATION = "frontend.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

# --- Database: SQLite by default, PostgreSQL by DATABASE_URL -----------------------------------------------------

DATABASES = {"default": env.db("DATABASE_URL", default=f"sqlite:///{ATTUNE_HOME / 'attune.sqlite3'}")}
_database = DATABASES["default"]
_database["CONN_MAX_AGE"] = env.int("CONN_MAX_AGE", default=60)
if _database["ENGINE"].endswith("sqlite3"):
    _database["OPTIONS"] = {
        # IMMEDIATE takes the write lock at BEGIN. With the default (DEFERRED) a transaction that reads and then
        # writes fails with "database is locked" whenever another one wrote in between, whatever the timeout.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": (
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; "
            "PRAGMA mmap_size=134217728; PRAGMA cache_size=-20000;"
        ),
    }
    # Threads must share the test database, as they share the real one: a file, not memory.
    _database["TEST"] = {"NAME": str(ATTUNE_HOME / "test.sqlite3")}
else:
    _database["ENGINE"] = "frontend.postgresql"
    _database["CONN_HEALTH_CHECKS"] = True
    # After how many uses on a connection the hot path's statements are prepared by the server (annotation/prepared.py).
    # Off (-1) behind a pooler that cannot keep prepared statements apart, such as PgBouncer before 1.21.
    _prepare = env.int("DATABASE_PREPARE_THRESHOLD", default=5)
    _database.setdefault("OPTIONS", {})["prepare_threshold"] = _prepare if _prepare >= 0 else None

# --- People ------------------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "annotation.User"
AUTHENTICATION_BACKENDS = ["annotation.attempts.LockingBackend"]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
# An identity provider that speaks OpenID Connect; people sign in there as well when its address is given.
ATTUNE_OIDC = {
    "issuer": env.str("OIDC_ISSUER", default=""),
    "client_id": env.str("OIDC_CLIENT_ID", default=""),
    "client_secret": env.str("OIDC_CLIENT_SECRET", default=""),
    "scopes": env.str("OIDC_SCOPES", default="openid profile email"),
    "name": env.str("OIDC_NAME", default="OpenID Connect"),
    # Whether somebody who is unknown here gets an account; without it they need one first, and connect it.
    "creates": env.bool("OIDC_CREATES_ACCOUNTS", default=True),
}
# Invitations, and links for lost passwords, are sent when this names a server: smtp+tls://user:password@host:587.
# Otherwise invitations are handed over, and what would be sent is a file in the folder `mail`, for this account alone:
# it holds links that open an account, which are nothing for a log.
_mail = env.str("EMAIL_URL", default="")
ATTUNE_SENDS_MAIL = bool(_mail)
if _mail:
    vars().update(env.email_url_config(_mail))
else:
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    EMAIL_FILE_PATH = ATTUNE_HOME / "mail"
    EMAIL_FILE_PATH.mkdir(mode=0o700, exist_ok=True)
PASSWORD_RESET_TIMEOUT = 60 * 60 * 4
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.str("EMAIL_FROM", default="attune@localhost")
OTP_TOTP_ISSUER = "Attune"
OTP_ADMIN_HIDE_SENSITIVE_DATA = True
SESSION_COOKIE_AGE = 60 * 60 * 24 * 14
# Read from the database each time, one look-up by key: with a cache of its own, each web process would go on taking a
# session that was ended in another one. Written only when something changes.
SESSION_ENGINE = "django.contrib.sessions.backends.db"

# --- Language, time, files ---------------------------------------------------------------------------------------

# The languages there is a catalogue for, each app's beside its code (annotation/locale, training/locale,
# frontend/locale), so that an app speaks without the ones above it. Each under its own name: that is what who wants it
# can read. A person's choice is kept in a cookie; before they choose, the browser's own language counts.
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LANGUAGE_COOKIE_AGE = 60 * 60 * 24 * 365
LANGUAGE_COOKIE_SAMESITE = "Lax"
# How dates are written in each language.
FORMAT_MODULE_PATH = ["frontend.formats"]
TIME_ZONE = env.str("TIME_ZONE", default="UTC")
USE_I18N = True
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = Path(env.str("STATIC_ROOT", default=str(ATTUNE_HOME / "static")))
# Uploads and images: a folder, or with BUCKET_NAME a bucket that speaks S3, through the extra `s3`.
_bucket = {
    "bucket_name": env.str("BUCKET_NAME", default=""),
    "endpoint_url": env.str("BUCKET_ENDPOINT", default="") or None,
    "region_name": env.str("BUCKET_REGION", default="") or None,
    "access_key": env.str("BUCKET_KEY", default="") or None,
    "secret_key": env.str("BUCKET_SECRET", default="") or None,
    "location": env.str("BUCKET_PREFIX", default="attune"),
    "default_acl": None,  # as the bucket has it, which should be private
    "querystring_auth": True,
    "querystring_expire": 300,
    "file_overwrite": False,
    "signature_version": "s3v4",
}
STORAGES = {
    "default": {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": _bucket}
    if _bucket["bucket_name"]
    else {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": ATTUNE_FILES / "media"},
    },
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "frontend.storage.HashedStaticFiles"
    },
}
# Snapshots, runs and models too, for machines that share no disk: each fetches what it reads into its files folder.
if env.bool("FILES_IN_BUCKET", default=False):
    if not _bucket["bucket_name"]:
        raise ImproperlyConfigured("FILES_IN_BUCKET needs a bucket: set BUCKET_NAME and its companions as well.")
    STORAGES["files"] = {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": _bucket
        | {"location": f"{_bucket['location']}/files", "file_overwrite": True, "max_memory_size": 16 * 1024 * 1024},
    }
# Who sends an image once its reader may see it: this process, a proxy that knows the folder under this internal address
# (X-Accel-Redirect), or the storage itself, under signed addresses that begin like this.
ATTUNE_IMAGES_ACCEL = env.str("IMAGES_ACCEL", default="")
ATTUNE_IMAGES_ORIGIN = env.str("IMAGES_ORIGIN", default="")
WHITENOISE_USE_FINDERS = DEBUG
DATA_UPLOAD_MAX_MEMORY_SIZE = env.int("UPLOAD_MAX_BYTES", default=200 * 1024 * 1024)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Security ----------------------------------------------------------------------------------------------------

_https = env.bool("HTTPS", default=False)
SECURE_SSL_REDIRECT = _https
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]  # asked from inside the container, without TLS
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = _https
SECURE_HSTS_SECONDS = 31_536_000 if _https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = _https
if _https:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    # JSON, which no browser runs; the pages about it have other addresses and keep their policy.
    "EXCLUDE_URL_PREFIXES": ("/api/campaigns/", "/api/campaign-templates/", "/api/assignments/"),
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:", *([ATTUNE_IMAGES_ORIGIN] if ATTUNE_IMAGES_ORIGIN else [])],
        "connect-src": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    },
}

# --- Background work ---------------------------------------------------------------------------------------------


def _broker_socket() -> Path:
    """Return where the embedded broker listens: below ATTUNE_HOME, or in a short folder when that path is too long."""
    path = ATTUNE_HOME / "run" / "broker.sock"
    # A socket's path may have 107 bytes, 103 on a Mac.
    if len(os.fsencode(path)) <= 100:
        return path
    digest = hashlib.sha256(os.fsencode(ATTUNE_HOME)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"attune-{os.getuid()}-{digest}" / "broker.sock"


# Without BROKER_URL, `manage.py serve` and `manage.py demo` start a Valkey server on this socket.
ATTUNE_BROKER_SOCKET = _broker_socket()
CELERY_BROKER_URL = env.str("BROKER_URL", default="") or f"redis+socket://{quote(str(ATTUNE_BROKER_SOCKET))}"
ATTUNE_BROKER_EMBEDDED = not env.str("BROKER_URL", default="")
# What all web processes count together (annotation/counting.py) lies beside the messages, which costs no SQL.
_shared = f"unix://{quote(str(ATTUNE_BROKER_SOCKET))}" if ATTUNE_BROKER_EMBEDDED else CELERY_BROKER_URL
CACHES: dict[str, dict[str, object]] = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    "shared": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": _shared,
        "KEY_PREFIX": "attune",
        "OPTIONS": {"socket_connect_timeout": 0.25, "socket_timeout": 0.25},
    }
    if _shared.startswith(("unix://", "redis://", "rediss://"))
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # Longer than any run: a shorter one starts a task twice. Lost work comes back through the run's heartbeat.
    "visibility_timeout": 12 * 60 * 60,
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
    # Who sends a message must not wait for a broker that is away: the row is stored, and the beat sends it again.
    "max_retries": 1,
    "interval_start": 0.0,
    "interval_step": 0.1,
    "interval_max": 0.1,
}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {
    "training.tasks.execute_run": {"queue": "gpu"},
    "training.tasks.answer_turn": {"queue": "chat"},
    "training.tasks.get_ready": {"queue": "chat"},
}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULE = {
    "expire-leases": {"task": "annotation.tasks.expire_leases", "schedule": 60.0},
    "refresh-quality": {"task": "annotation.tasks.refresh_quality", "schedule": 120.0},
    "count-blocks": {"task": "annotation.tasks.count_blocks", "schedule": 10.0},
    "expire-files": {"task": "annotation.tasks.expire_files", "schedule": 3600.0},
    "deliver-due": {"task": "annotation.tasks.deliver_due", "schedule": 10.0},
    "delete-leftovers": {"task": "annotation.tasks.delete_leftovers", "schedule": 86_400.0},
    "advance-rounds": {"task": "training.tasks.advance_rounds", "schedule": 10.0},
    "measure-rewards": {"task": "training.tasks.measure_rewards", "schedule": 600.0},
    "look-after-guards": {"task": "training.tasks.look_after_guards", "schedule": 60.0},
    "delete-begun": {"task": "training.tasks.delete_leftovers", "schedule": 86_400.0},
    "recover-lost-runs": {"task": "training.tasks.recover_lost", "schedule": 20.0},
    "recover-lost-turns": {"task": "training.tasks.recover_lost_turns", "schedule": 5.0},
}
# Seconds without a heartbeat after which a run is taken from its worker and queued again.
ATTUNE_RUN_LOST_SECONDS = env.int("RUN_LOST_SECONDS", default=60)
# How many processes a training run is started with; above 1 it goes through torchrun.
ATTUNE_PROCESSES = env.int("TRAIN_PROCESSES", default=1)
# Whether these share out what is trained (FSDP2) instead of having a whole copy each; the results are the same.
ATTUNE_SHARDED = env.bool("TRAIN_SHARDED", default=False)
# What draws a policy's answers: auto (vLLM where it is installed, there is a GPU, and it can), own, or vllm (refused
# where it cannot), and the share of the GPU's memory that vLLM has.
ATTUNE_SAMPLER = env.str("TRAIN_SAMPLER", default="auto")
ATTUNE_SAMPLER_MEMORY = env.float("TRAIN_SAMPLER_MEMORY", default=0.3)
# Other programs that may do runs on the policy's own answers: the interpreter of the environment that each is in.
_PYTHONS = {"verl": env.str("VERL_PYTHON", default=""), "areal": env.str("AREAL_PYTHON", default="")}
ATTUNE_ENGINES = {name: path for name, path in _PYTHONS.items() if path}
# Loads code from a model's folder. Off unless an operator decides otherwise: it is code execution.
ATTUNE_TRUST_REMOTE_CODE = env.bool("TRUST_REMOTE_CODE", default=False)
# Whether the role red team may have a policy trained against its own safety, to see how little undoes it.
ATTUNE_TAMPER_TESTS = env.bool("TAMPER_TESTS", default=False)

# --- Principles proposed out of critiques ------------------------------------------------------------------------

# An OpenAI-compatible service, up to and with /v1, which gets the critiques; without it, rules propose. Only an
# operator sets it: the web server and the workers send requests wherever it says.
ATTUNE_EXTRACTOR_URL = env.str("ATTUNE_EXTRACTOR_URL", default="")
ATTUNE_EXTRACTOR_MODEL = env.str("ATTUNE_EXTRACTOR_MODEL", default="")
ATTUNE_EXTRACTOR_KEY = env.str("ATTUNE_EXTRACTOR_KEY", default="")
ATTUNE_EXTRACTOR_TIMEOUT = env.float("ATTUNE_EXTRACTOR_TIMEOUT", default=60.0)  # seconds, for one try

# --- Webhooks ----------------------------------------------------------------------------------------------------

# Leads name where messages go, and this server sends them: to public addresses over HTTPS alone, unless an operator
# whose receivers are in the same network says otherwise.
ATTUNE_WEBHOOKS_PRIVATE = env.bool("WEBHOOKS_PRIVATE", default=False)

# --- Data sets on a hub -------------------------------------------------------------------------------------------

# Where leads and engineers may push frozen data sets to: a hub that speaks Hugging Face's interface, with its token; or
# a folder, which wins. Neither is set unless an operator does: it is how judgements leave the house.
ATTUNE_HUB_ENDPOINT = env.str("HUB_ENDPOINT", default="")
ATTUNE_HUB_TOKEN = env.str("HUB_TOKEN", default="")
ATTUNE_HUB_PRIVATE = env.bool("HUB_PRIVATE", default=True)
ATTUNE_HUB_FOLDER = env.str("HUB_FOLDER", default="")

# --- REST --------------------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "annotation.api.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PARSER_CLASSES": ["annotation.api.parsing.StrictJSONParser"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "annotation.api.negotiation.Negotiation",
    "DEFAULT_SCHEMA_CLASS": "annotation.api.auto_schema.Described",
    "DEFAULT_THROTTLE_CLASSES": ["annotation.api.throttling.RateLimit"],
    # How many proxies stand before this server, each adding to X-Forwarded-For; with 0 the header counts for nothing.
    "NUM_PROXIES": env.int("TRUSTED_PROXIES", default=0),
    "EXCEPTION_HANDLER": "annotation.api.errors.exception_handler",
    "DEFAULT_PAGINATION_CLASS": "annotation.api.pagination.IdCursorPagination",
    "PAGE_SIZE": 50,
}
# Requests a minute of one person (of one address, for "token"). RATE_LIMITS=judge=2400 changes one; "off" all.
_rates = env.str("RATE_LIMITS", default="")
ATTUNE_RATES: dict[str, int] = (
    {}
    if _rates == "off"
    else {
        "read": 1200,
        "write": 600,
        "judge": 1200,
        "transfer": 120,
        "token": 30,
        **{name.strip(): int(most) for name, _, most in (one.partition("=") for one in _rates.split(",") if one)},
    }
)
KNOX_TOKEN_MODEL = "knox.AuthToken"  # noqa: S105  (`annotation.TokenGrant` refers to it)
REST_KNOX = {"TOKEN_TTL": None, "AUTH_HEADER_PREFIX": "Token"}
SPECTACULAR_SETTINGS = {
    "TITLE": "Attune",
    "DESCRIPTION": "Import prompts and answers, hand out and collect judgements, train, and run rounds.",
    "VERSION": "0.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "ENFORCE_NON_BLANK_FIELDS": True,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SCHEMA_PATH_PREFIX": r"/api/",
    "ENUM_NAME_OVERRIDES": {
        "CampaignState": "annotation.models.Campaign.State",
        "TaskState": "annotation.models.Task.State",
        "AssignmentState": "annotation.models.Assignment.State",
        "CampaignWellbeing": "annotation.models.Campaign.Wellbeing",
        "DeliveryState": "annotation.models.Delivery.State",
        "ProposalState": "annotation.models.Proposal.State",
        "RunState": "training.models.Run.State",
        "RunKind": "training.models.Run.Kind",
        "VersionState": "training.models.ModelVersion.State",
        "VersionKind": "training.models.ModelVersion.Kind",
        "LoopState": "training.models.Loop.State",
        "RoundState": "training.models.Round.State",
        "ChatState": "training.models.Chat.State",
        "ChatTurnState": "training.models.ChatTurn.State",
        "ChatMode": ["helpful", "red_team"],
        "GoldPurpose": "annotation.models.Gold.Purpose",
        "QualifyingPurpose": "training.services.baselines.QUALIFYING",
        "PolicyMode": "training.recipes.chat.MODES",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "annotation.api.schema.document_errors",
        "annotation.api.schema.close_bodies",
        "annotation.api.schema.leave_answers_blank",
    ],
}

# --- Logs --------------------------------------------------------------------------------------------------------

_log_format = env.str("LOG_FORMAT", default="plain")
if _log_format not in ("plain", "json"):
    raise ImproperlyConfigured(f"LOG_FORMAT is {_log_format!r}; it is plain or json.")
# Whether each request is a line, too; a proxy before this server often writes one already.
ATTUNE_LOG_REQUESTS = env.bool("LOG_REQUESTS", default=False)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"()": "annotation.logs.Plain"}, "json": {"()": "annotation.logs.Lines"}},
    "filters": {"expected": {"()": "annotation.logs.Expected"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": _log_format, "filters": ["expected"]},
    },
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="INFO")},
}
