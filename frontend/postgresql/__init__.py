"""Django's PostgreSQL backend, without a journey to the server before each request; named by the settings."""
