from django.apps import AppConfig


class TrainingConfig(AppConfig):
    name = "training"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Importing the app binds every `shared_task` to it, in the web process too.
        import training.celery
        import training.receivers  # noqa: F401
