# Web server, beat and the worker for queue `default`. No torch: training runs in the trainer's image.
ARG PYTHON=3.11
FROM python:${PYTHON}-slim-bookworm AS build
WORKDIR /app
RUN python -m venv /venv
COPY . .
RUN /venv/bin/pip install --no-cache-dir -c constraints.txt -e '.[s3]' \
    && ATTUNE_HOME=/tmp/build STATIC_ROOT=/app/static /venv/bin/python manage.py collectstatic --noinput \
    && rm -rf /tmp/build

FROM python:${PYTHON}-slim-bookworm
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DJANGO_SETTINGS_MODULE=frontend.settings \
    ATTUNE_HOME=/data \
    STATIC_ROOT=/app/static
WORKDIR /app
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin attune \
    && install -d -o attune -g attune -m 0750 /data
COPY --from=build /venv /venv
COPY --from=build /app /app
USER 10001:10001
VOLUME /data
EXPOSE 8000
# `localhost` has to be among ALLOWED_HOSTS; compose.yaml adds it.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=4 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://localhost:8000/healthz', timeout=4)"]
# The number of processes, which env.example sets too.
ENV GRANIAN_WORKERS=2
CMD ["granian", "frontend.wsgi:application", "--host", "0.0.0.0", "--port", "8000", "--blocking-threads", "4", \
     "--interface", "wsgi", "--http", "1", "--no-ws", "--blocking-threads-idle-timeout", "600", \
     "--respawn-failed-workers", "--workers-kill-timeout", "8", "--log-level", "warning"]
